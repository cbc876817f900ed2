"""Tasks that die at any step and continue; lists of rubbish; a server that is emptied.

A task dies before or after one of its commands. What came later is not touched by the
process that continues with it, and nothing is done twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import redis as redis_py

import resqued
from resqued.core import task_state
from resqued.core.task_state import TaskRecord
from resqued.store import few_elements
from resqued.store.bulk import BulkProgress
from resqued.store.failure_filter import FailureFilter
from resqued.store.task_records import TaskRecords
from resqued.web.failure_choice import SEES_ARGS, UP_TO, bounds_text
from resqued.web.site import Site, site
from resqued.web.task_kinds import STEPS
from tests.support.cli import add_failure
from tests.support.pages import Open, Pages, hidden_fields
from tests.support.wait import wait_until
from tests.support.watched_link import Death, WatchedLink

# Elements at the start, and the most of a step.
COUNT, STEP = 12, 5
# Failures of these numbers have a time in an hour: `add_failure` counts seconds.
_SOON = int(time.time()) - 1_700_000_000 + 3_600
LATE = range(_SOON, _SOON + 4)
BULK_KEYS = "resque:resqued:bulk*"


@dataclass
class Case:
    """A site whose store is reached by a link that can die."""

    site: Site
    link: WatchedLink
    redis: redis_py.Redis
    # Of what has gone on.
    progress: BulkProgress = field(default_factory=BulkProgress)

    def task(self, kind: str) -> TaskRecord:
        """Fill the lists and add a task on them."""
        self.redis.flushall()
        for number in range(COUNT):
            add_failure(self.redis, number)
            self.push("from", number)
        choice = {"queue": "from", "to": "goal"}
        if kind in ("retry", "remove", "retry_remove"):
            seen = self.site.client.failures.seen(FailureFilter())
            choice = {UP_TO: bounds_text(seen), SEES_ARGS: "1"}
        records = self.records
        now = records.now()
        task = TaskRecord("t", kind, choice, rate=STEP, began=now, beat=now, runner="x")
        records.add(task)
        return task

    @property
    def records(self) -> TaskRecords:
        """The records of the tasks."""
        return TaskRecords(self.site.client.registry.link, self.site.keys)

    def push(self, queue: str, number: int) -> None:
        """Enqueue a job of a class."""
        job = json.dumps({"class": "Job", "args": [number]})
        self.redis.rpush(f"resque:queue:{queue}", job)
        self.redis.sadd("resque:queues", queue)

    def run(self, task: TaskRecord, *, calls: int, dies_after_it: bool) -> bool:
        """Run a task until it dies at a call, and then to its end; return if it died.

        Meanwhile there are new failures and new jobs.
        """
        self.link.calls_left, self.link.dies_after_it = calls, dies_after_it
        try:
            with closing(STEPS[task.kind](self.site, task)) as steps:
                for _ in steps:
                    pass
        except Death:
            pass
        has_died = self.link.calls_left == 0
        self.link.calls_left = -1
        for key in self.redis.scan_iter("resque:resqued:bulk:owner:*"):
            self.redis.delete(key)  # the lease ends
        for number in LATE:
            add_failure(self.redis, number)
            self.push("from", number)
        *_, self.progress = BulkProgress(), *STEPS[task.kind](self.site, task)
        assert not self.redis.keys(BULK_KEYS)
        return has_died

    def numbers(self, queue: str) -> list[int]:
        """Return the arguments of the jobs in a queue."""
        raws = self.redis.lrange(f"resque:queue:{queue}", 0, -1)
        return [json.loads(raw)["args"][0] for raw in raws]

    def failed(self) -> list[int]:
        """Return the arguments of the failures."""
        return [each.args[0] for each in self.site.client.failures.oldest_first()]


@pytest.fixture
def case(pages: Pages, redis: redis_py.Redis, redis_url: str) -> Iterator[Case]:
    with pages.client.application.app_context():
        own = site()
        link = WatchedLink(redis_url, lambda: None)
        own.client.failures._link = own.queues._link = link
        yield Case(own, link, redis)
        link.close()


@pytest.mark.parametrize("dies_after_it", [False, True])
@pytest.mark.parametrize("most_single", [1_000, 3])
@pytest.mark.parametrize(
    "kind", ["retry", "retry_remove", "remove", "move_queue", "remove_queue"]
)
def test_a_task_that_dies_at_any_call_goes_on(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
    most_single: int,
    dies_after_it: bool,
) -> None:
    if "queue" in kind and most_single == 3:
        pytest.skip("no list of failures")
    monkeypatch.setattr(few_elements, "MOST", most_single)
    calls, old = 0, list(range(COUNT))
    # The server knows the scripts from here on.
    case.run(case.task(kind), calls=-1, dies_after_it=False)
    has_died = True
    while has_died:
        calls += 1
        has_died = case.run(case.task(kind), calls=calls, dies_after_it=dies_after_it)
        where = (kind, calls)
        if kind == "move_queue":
            # Those that came later wait, or, of an empty queue, begin the task.
            assert case.numbers("goal")[:COUNT] == old, where
            assert calls == 1 or case.numbers("from") == [*LATE], where
            assert calls == 1 or case.progress.changed == COUNT, where
        elif kind == "remove_queue":
            assert case.numbers("from") == [*LATE], where
            assert case.progress.changed == COUNT, where
        else:
            retried = [] if kind == "remove" else old
            assert case.numbers("mail") == retried, where
            assert case.failed() == (old if kind == "retry" else []) + [*LATE], where
        if kind == "retry":
            made = case.progress.changed + case.progress.done_before
            assert made == COUNT, where
    assert calls > 1


def test_a_task_that_is_unknown_moves_and_removes_nothing(case: Case) -> None:
    """The server was emptied, and filled again, between two steps."""
    for kind in ("move_queue", "remove_queue"):
        task = case.task(kind)
        case.redis.delete("resque:resqued:web:task:t")
        for _ in STEPS[kind](case.site, task):
            pass
        assert case.numbers("from") == list(range(COUNT))
        assert not case.redis.exists("resque:resqued:web:task:t")


@pytest.mark.parametrize("kind", ["retry", "remove", "retry_remove"])
def test_a_server_that_is_emptied_meanwhile_ends_the_task(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client, kind: str
) -> None:
    for number in range(100):
        add_failure(redis, number)
    path = f"/failed/bulk/{kind}"
    where = pages.post(path, **hidden_fields(pages.get(path).text), rate="10").location
    wait_until(lambda: client.failures.count() < 100 or client.size("mail"), what="it")
    redis.flushall()
    for number in range(200, 230):
        add_failure(redis, number)
    own = pages.client.application.extensions["resqued-tasks"]
    task_id = where.rpartition("/")[2]
    wait_until(lambda: own.own(task_id) is None, what="the end of the thread")
    pages.get(where, 404)
    assert [each.args[0] for each in client.failures.oldest_first()] == [
        *range(200, 230)
    ]
    assert not client.size("mail")
    assert not redis.keys(BULK_KEYS)
    assert not redis.keys("resque:resqued:web:task*")


def test_of_two_processes_one_goes_on_with_a_task(
    open_pages: Open,
    redis: redis_py.Redis,
    client: resqued.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are asked at the same moment; the task runs once."""
    for number in range(50):
        add_failure(redis, number)
    both = [open_pages(), open_pages()]
    with both[0].client.application.app_context():
        case = Case(site(), WatchedLink(client.registry.link.url, str), redis)
        seen = client.failures.seen(FailureFilter())
        choice = {UP_TO: bounds_text(seen), SEES_ARGS: "1"}
        now = case.records.now()
        task = TaskRecord("t", "retry_remove", choice, began=now, runner="dead")
        case.records.add(task)
    statuses: list[int] = []
    barrier = threading.Barrier(2)

    def ask(pages: Pages) -> None:
        barrier.wait()
        answer = pages.client.post(
            "/tasks/t",
            data={"order": "go_on"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=ask, args=(pages,)) for pages in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303, 409]
    wait_until(lambda: "done Done" in both[1].text("/tasks/t"), what="the end")
    jobs = [job["args"][0] for job in client.peek("mail", 0, 1_000)]
    assert jobs == list(range(50))
    assert task_state.ABANDONED_AFTER > 1


RUBBISH = [
    b"",
    b"\0",
    b"not JSON",
    b"\xff\xfe\x80",
    b"[" * 50_000,
    b"7",
    b"null",
    b"{}",
    b'{"payload": 1, "queue": [], "error": {}}',
    b'{"payload": {"class": 3, "args": "x"}, "queue": "mail"}',
    b'{"failed_at": 1e999, "retried_at": {}}',
    b'"' + b"x" * 3_000_000 + b'"',
]


@pytest.mark.parametrize("most_single", [1_000, 3])
@pytest.mark.parametrize("kind", ["retry", "retry_remove", "remove"])
def test_rubbish_among_failures_stays_or_goes_and_stops_no_task(
    pages: Pages,
    redis: redis_py.Redis,
    client: resqued.Client,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
    most_single: int,
) -> None:
    monkeypatch.setattr(few_elements, "MOST", most_single)
    for number, rubbish in enumerate(RUBBISH):
        redis.rpush("resque:failed", rubbish)
        add_failure(redis, number)
    path = f"/failed/bulk/{kind}"
    form = hidden_fields(pages.get(path).text)
    where = pages.post(path, **form, rate="0").location
    wait_until(lambda: "Ended" in pages.text(where), what="the end")
    text = pages.text(where)
    assert "done Done" in text
    left = redis.lrange("resque:failed", 0, -1)
    jobs = [job["args"][0] for job in client.peek("mail", 0, 1_000)]
    if kind == "remove":
        assert left == []
        assert jobs == []
    else:
        assert jobs == list(range(len(RUBBISH)))
        assert [entry for entry in left if entry in RUBBISH] == RUBBISH
        assert len(left) == len(RUBBISH) * (2 if kind == "retry" else 1)
        assert f"{len(RUBBISH)} left out" in text
