"""Our pages on a database that others use too: what they leave, and what they show.

What Ruby's page leaves for the same click is known from its wire cases. node-resque is
asked itself. What resqued keeps for itself, such as the audit, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import resqued
from resqued.config.web_settings import WebSettings
from resqued.core.list_places import Place
from resqued.web.app import create_app
from resqued.web.site import site
from tests.compat.dump import dump, holds
from tests.compat.node_support import Node, Queue, install
from tests.compat.test_wire_failures import BOOM, MAIL, RETRIED, listed
from tests.compat.wire import deviates
from tests.support.pages import SAME_ORIGIN, Pages, hidden_fields
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

# With this key node-resque tries its connection.
_TRIAL = "resque:connection_test_key"
BOTH_RETRIED = listed(BOOM[:-1] + RETRIED, MAIL[:-1] + RETRIED)
BOTH_QUEUED = holds("""
    resque:queue:default = list:
      [0] {"class":"Boom","args":[1]}
    resque:queue:mail = list:
      [0] {"class":"Ok","args":[2]}
    resque:queues = set {default | mail}
""")
MAIL_QUEUED = holds("""
    resque:queue:mail = list:
      [0] {"class":"Ok","args":[2]}
    resque:queues = set {mail}
""")


class Ours:
    """Our pages and our API, and what they have left in Redis."""

    def __init__(self, pages: Pages, redis: redis_py.Redis) -> None:
        self.pages = pages
        self._redis = redis

    def left(self) -> dict[str, str]:
        """Return what other libraries read of all that Redis holds."""
        found = dump(self._redis, {})
        return {name: text for name, text in found.items() if name != _TRIAL}

    def click(self, path: str, entry: bytes, **form: str) -> None:
        """Send the form of one failure."""
        entries = self._redis.lrange("resque:failed", 0, -1)
        failure = resqued.Failure(entry, entries.index(entry))
        place = Place(failure.position, failure.digest[:24])
        self.pages.post(path, id=str(place), **form)

    def confirm(self, path: str) -> None:
        """Open the page that asks, and say yes."""
        self.pages.post(path, **hidden_fields(self.pages.get(path).text))

    def remove_queue(self, name: str) -> None:
        """Open the page that asks, type the name, and send its form."""
        fields = hidden_fields(self.pages.get(f"/remove_queue/{name}").text)
        self.pages.post(f"/queues/{name}/remove", **fields, typed=name)

    def order(self, path: str, **body: Any) -> None:
        """Give an order by the API; wait until a task has ended."""
        client = self.pages.client
        found = client.post(f"/api/v1/{path}", json=body, headers=SAME_ORIGIN)
        assert found.status_code in (200, 202), found.text
        if found.status_code == 202:
            self.wait_for_tasks()

    def wait_for_tasks(self) -> None:
        """Return once no task runs."""
        path = "/api/v1/tasks"
        wait_until(
            lambda: all(each["ended"] for each in self.get(path)["tasks"]),
            what="the end of the task",
        )

    def get(self, path: str) -> Any:
        return json.loads(self.pages.get(path).text)

    def ids(self) -> list[str]:
        """Return the ids of the failures, the oldest first."""
        found = self.get("/api/v1/failures")["failures"]
        return [each["id"] for each in reversed(found)]

    def up_to(self) -> dict[str, str]:
        found: dict[str, str] = self.get("/api/v1/failures")["up_to"]
        return found


@pytest.fixture
def ours(redis: redis_py.Redis, redis_url: str) -> Iterator[Ours]:
    redis.rpush("resque:failed", BOOM, MAIL)
    app = create_app(replace(WebSettings(), url=redis_url))
    yield Ours(Pages(app.test_client()), redis)
    with app.app_context():
        site().client.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda ours: ours.click("/failed/retry", MAIL),
        lambda ours: ours.order("failures/retry", ids=ours.ids()[1:]),
        lambda ours: ours.order(
            "failures/retry", filter={"queue": "mail"}, up_to=ours.up_to()
        ),
    ],
    ids=["page", "API by id", "API by filter"],
)
def test_one_retry_leaves_what_ruby_leaves(
    ours: Ours, act: Callable[[Ours], None]
) -> None:
    act(ours)
    assert ours.left() == listed(BOOM, MAIL[:-1] + RETRIED) | MAIL_QUEUED


@pytest.mark.parametrize(
    "act",
    [
        lambda ours: ours.confirm("/failed/requeue/all"),
        lambda ours: ours.confirm("/failed/bulk/retry"),
        lambda ours: ours.order("failures/retry", filter={}, up_to=ours.up_to()),
    ],
    ids=["page", "task of the page", "API"],
)
@deviates("retry-all")
def test_all_retries_leave_what_ruby_leaves_and_then_no_more(
    ours: Ours, act: Callable[[Ours], None]
) -> None:
    """Ruby's second click would put each job on its queue once more."""
    for _ in range(2):
        act(ours)
        ours.wait_for_tasks()
        assert ours.left() == BOTH_RETRIED | BOTH_QUEUED
    ours.confirm("/failed/clear_retried")
    assert ours.left() == BOTH_QUEUED


def test_a_retry_to_another_queue_puts_the_job_there(ours: Ours) -> None:
    ours.click("/failed/retry", MAIL, queue="low")
    queued = {name.replace("mail", "low"): each for name, each in MAIL_QUEUED.items()}
    queued["resque:queues"] = "set {low}"
    assert ours.left() == listed(BOOM, MAIL[:-1] + RETRIED) | queued


@pytest.mark.parametrize(
    "act",
    [
        lambda ours: ours.click("/failed/remove", MAIL),
        lambda ours: ours.order("failures/remove", ids=ours.ids()[1:]),
        lambda ours: ours.order(
            "failures/remove", filter={"class": "Ok"}, up_to=ours.up_to()
        ),
    ],
    ids=["page", "API by id", "API by filter"],
)
def test_a_removal_leaves_what_ruby_leaves(
    ours: Ours, act: Callable[[Ours], None]
) -> None:
    act(ours)
    assert ours.left() == listed(BOOM)


def test_clearing_leaves_nothing(ours: Ours) -> None:
    ours.confirm("/failed/clear")
    assert ours.left() == {}


def test_the_paths_of_ruby_are_there_with_a_slash_too(ours: Ours) -> None:
    for path in ("/overview", "/queues", "/working", "/failed", "/workers"):
        for each in (path, f"{path}/", f"{path}.poll"):
            if each != "/failed.poll":
                ours.pages.get(each)
    ours.pages.get("/stats.txt/")
    ours.pages.get("/failed?class=Ok&start=0")
    for path in ("/failed/requeue/0", "/failed/remove/0"):
        ours.pages.get(path, 405)
    assert ours.left() == listed(BOOM, MAIL)


# node-resque


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return install()


@pytest.fixture
def queue(node_modules: Path, redis_url: str, tmp_path: Path) -> Iterator[Queue]:
    with Node(node_modules, redis_url, tmp_path).queue() as queue:
        yield queue


@pytest.fixture
def fill(redis: redis_py.Redis, queue: Queue, ours: Ours) -> Callable[[], None]:
    """Return what fills the database, the same each time; a worker is at work."""

    def put() -> None:
        redis.flushdb()
        queue("enqueue", "mail", "Ok", [1])
        queue("enqueue", "mail", "Ok", ["ä"])
        queue("enqueue", "low", "Boom", [])
        redis.rpush("resque:failed", BOOM, MAIL)
        redis.mset({"resque:stat:processed": 7, "resque:stat:failed": 3})
        redis.sadd("resque:workers", "h:1:mail,low", "h:2:*")
        record = {
            "run_at": "2026-11-23T00:00:00Z",
            "queue": "mail",
            "payload": {"class": "Ok", "queue": "mail", "args": [0]},
            "worker": "h:2:*",
        }
        redis.set("resque:worker:h:2:*", json.dumps(record))

    put()
    return put


def test_both_show_the_same_of_one_database(
    ours: Ours, queue: Queue, fill: Callable[[], None]
) -> None:
    status, lines = ours.get("/api/v1/status"), ours.pages.get("/stats.txt").text
    figures = dict(line.split("=") for line in lines.split("\n"))
    stats = queue("stats")
    assert str(status["processed"]) == figures["resque.processed+"] == "7"
    assert {"processed": status["processed"], "failed": status["failed"]} == {
        name: int(number) for name, number in stats.items()
    }
    assert str(queue("failedCount")) == figures["resque.failed+"] == "2"
    sizes = {
        each["name"]: each["size"] for each in ours.get("/api/v1/queues")["queues"]
    }
    assert set(sizes) == set(queue("queues"))
    for name, size in sizes.items():
        assert queue("length", name) == size == int(figures[f"queues.{name}"])
        jobs = ours.get(f"/api/v1/queues/jobs?name={name}")["jobs"]
        assert [(each["class"], each["args"]) for each in jobs] == [
            (each["class"], each["args"]) for each in queue("queued", name, 0, -1)
        ]
    workers = {
        each["id"]: ",".join(each["queues"])
        for each in ours.get("/api/v1/workers")["workers"]
    }
    named = {f"{name}:{queues}": queues for name, queues in queue("workers").items()}
    assert workers == named
    assert figures["resque.workers"] == "2"
    (busy,) = ours.get("/api/v1/working")["workers"]
    at_work = queue("allWorkingOn")
    assert busy["job"]["args"] == at_work["h:2:*"]["payload"]["args"]
    assert figures["resque.working"] == "1"
    failed = ours.get("/api/v1/failures")["failures"]
    for mine, its in zip(reversed(failed), queue("failed", 0, -1), strict=True):
        assert {name: mine[name] for name in its} == its


@pytest.mark.parametrize(
    ("its", "mine"),
    [
        (("removeFailed", json.loads(BOOM)), lambda o: o.click("/failed/remove", BOOM)),
        (("removeFailed", json.loads(MAIL)), lambda o: o.click("/failed/remove", MAIL)),
        (
            ("delQueue", "mail"),
            lambda o: o.remove_queue("mail"),
        ),
        (("delQueue", "mail"), lambda o: o.order("queues/remove", name="mail")),
    ],
)
def test_the_same_order_leaves_the_same_bytes(
    ours: Ours,
    queue: Queue,
    fill: Callable[[], None],
    its: tuple[Any, ...],
    mine: Callable[[Ours], None],
) -> None:
    before = ours.left()
    queue(*its)
    left = ours.left()
    assert left != before
    fill()
    assert ours.left() == before
    mine(ours)
    assert ours.left() == left


def test_a_retry_that_removes_differs_in_the_queue_of_the_payload_alone(
    ours: Ours, queue: Queue, fill: Callable[[], None]
) -> None:
    queue("retryAndRemoveFailed", json.loads(MAIL))
    left = ours.left()
    fill()
    ours.click("/failed/retry_remove", MAIL)
    plain, with_queue = '{"class":"Ok","args":[2]}', '"queue":"mail",'
    mine = ours.left()
    assert plain in mine["resque:queue:mail"]
    last = left["resque:queue:mail"].splitlines()[-1]
    assert json.loads(last.partition(" ")[2]) == json.loads(plain) | {"queue": "mail"}
    assert with_queue in last
    del mine["resque:queue:mail"], left["resque:queue:mail"]
    assert mine == left
