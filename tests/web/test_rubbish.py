"""Servers that refuse, and keys of other types: an answer in words, never a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import unescape
from urllib.parse import urlsplit

import pytest
import redis as redis_py

from resqued.store.delayed import DelayedJobs
from resqued.store.job_queues import Queues
from tests.support.every_key import fill, key
from tests.support.pages import SAME_ORIGIN, Open, Pages
from tests.support.proxy import Proxy
from tests.support.refusing_server import refusing
from tests.support.route_samples import API, paths_of, routes

TEXT = b"critical"
# The keys of Resque itself, which a user of old may have alone.
RESQUE_KEYS = (
    *("queues", "queue:*", "failed", "failed_queues", "*_failed", "workers"),
    *("worker:*", "workers:heartbeat", "stat:*", "pause-all-workers", "delayed:*"),
    *("delayed_queue_schedule", "timestamps:*", "pause:queue:*"),
)


def paths_in(redis: redis_py.Redis) -> list[str]:
    """Return the paths to fetch; the keys must have their values still."""
    return list(_each_path(redis))


def _each_path(redis: redis_py.Redis) -> Iterator[str]:
    """Yield the first paths of each route that is read, and those with a name."""
    for route in routes("GET"):
        first, *_ = paths_of(route, redis, TEXT)
        yield first
        if route.path in (f"{API}/queues/jobs", f"{API}/why"):
            yield f"{first}?name=critical"
        if route.path == f"{API}/history":
            yield f"{first}?series=done"


def readers_in(
    open_pages: Open, redis: redis_py.Redis, paths: list[str]
) -> dict[str, list[str]]:
    """Return, for each key, the paths to which a command with it belongs.

    Another path cannot depend on the key. Of the many keys of the history, which are
    read alike, there is one.
    """
    sent = {path: _commands_of(open_pages, redis, path) for path in paths}
    names = sorted(map(bytes.decode, redis.scan_iter("resque:*")))
    history = [name for name in names if ":hist:" in name]
    return {
        name: [path for path in paths if name in sent[path]]
        for name in names
        if name not in history[1:]
    }


def check_all(pages: Pages, paths: list[str], where: object) -> list[int]:
    """Fetch all; raise unless each answer is one in words. Return the statuses."""
    found = []
    for path in paths:
        answer = pages.client.get(path)
        assert answer.status_code != 500, (where, path, answer.text[:500])
        if answer.status_code == 503 and path not in ("/readyz", "/metrics"):
            assert "Redis" in answer.text, (where, path, answer.text[:500])
        found.append(answer.status_code)
    return found


def test_a_key_of_another_type_breaks_no_page(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    """A row for each key, and for each page to which a command with it belongs."""
    fill(redis, TEXT)
    readers_of = readers_in(open_pages, redis, paths_in(redis))
    assert len(readers_of) > 40
    pages = open_pages()
    for name, readers in readers_of.items():
        old = redis.dump(name)
        is_text = redis.type(name) == b"string"
        redis.delete(name)
        if is_text:
            redis.rpush(name, "odd")
        else:
            redis.set(name, "odd")
        check_all(pages, readers, name)
        redis.restore(name, 0, old, replace=True)


def test_all_keys_of_other_types(open_pages: Open, redis: redis_py.Redis) -> None:
    fill(redis, TEXT)
    paths = paths_in(redis)
    for name in list(redis.scan_iter("resque:*")):
        redis.delete(name)
        redis.hset(name, "odd", "odd")
    check_all(open_pages(), paths, "all")


@contextmanager
def user(redis: redis_py.Redis, *rules: str) -> Iterator[str]:
    """Have a user `web` with these rules; yields the URL with its password."""
    redis.execute_command("ACL", "SETUSER", "web", "reset", "on", ">secret", *rules)
    place = redis.connection_pool.connection_kwargs
    try:
        yield f"redis://web:secret@{place['host']}:{place['port']}"
    finally:
        redis.execute_command("ACL", "DELUSER", "web")


def all_but(name: str) -> list[str]:
    """Return key patterns that match every name but one."""
    safe = [re.sub(r"[][*?^\\-]", r"\\\g<0>", letter) for letter in name]
    shorter = ["".join(safe[:end]) for end in range(1, len(safe))]
    others = [f"{''.join(safe[:at])}[^{letter}]*" for at, letter in enumerate(safe)]
    return [f"~{each}" for each in [*shorter, *others, f"{''.join(safe)}?*"]]


def test_a_key_that_is_refused_is_named_by_the_pages_that_need_it(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    """A row for each key: of this user, Redis refuses that one alone."""
    fill(redis, b"critical")
    paths = [path for path in paths_in(redis) if not path.startswith("/readyz")]
    for name, readers in readers_in(open_pages, redis, paths).items():
        if " " in name:
            continue  # no pattern of a rule has a space
        with user(redis, "+@all", "&*", *all_but(name)) as url:
            pages = open_pages(url=url)
            refused = [path for path in readers if _is_refused(pages, path, name)]
            assert len(refused) < len(paths) / 3, (name, refused)
            for path in ("/overview", "/about", "/metrics"):
                assert not _is_refused(pages, path, name), name
            assert pages.get("/readyz").json["ready"], name
            pages.get("/healthz")


def _commands_of(open_pages: Open, redis: redis_py.Redis, path: str) -> str:
    """Return what Redis is asked for a path by pages that have read nothing yet."""
    pages, found = open_pages(), []
    with redis.monitor() as monitor:
        pages.client.get(path)
        redis.echo("the end")
        for each in monitor.listen():
            if each["command"] == "ECHO the end":
                break
            found.append(each["command"])
    return "\n".join(found)


def _is_refused(pages: Pages, path: str, name: str) -> bool:
    """Return True if a page says that it may not read a key, and which one."""
    answer = pages.client.get(path)
    assert "Redis does not answer.</strong>" not in answer.text, (name, path)
    if answer.status_code != 503:
        return False
    text = unescape(answer.text)
    assert "`ACL SETUSER web ~resque:* +" in text, (name, path, text)
    assert name in text, (name, path, text)
    return True


def test_a_user_that_may_only_read(open_pages: Open, redis: redis_py.Redis) -> None:
    fill(redis, TEXT)
    paths = paths_in(redis)
    rules = ("~resque:*", "+@read", "+@connection", "+info", "+time")
    with user(redis, *rules) as url:
        pages = open_pages(url=url)
        found = check_all(pages, paths, "read only")
        assert found.count(200) > len(found) * 0.7
        _check_refusal(pages, redis, "NOPERM")


def test_a_user_without_the_keys_of_resqued(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    fill(redis, TEXT)
    paths = paths_in(redis)
    rules = (*(f"~resque:{name}" for name in RESQUE_KEYS), "+@all")
    with user(redis, *rules) as url:
        pages = open_pages(url=url, redact=("password",))
        check_all(pages, paths, "without resqued:*")
        # Who cannot read the names of parameters cannot tell what is to be hidden.
        found = pages.client.get(f"{API}/queues/jobs?name=critical")
        if found.status_code == 200:
            jobs = json.loads(found.text)["jobs"]
            assert jobs[0]["args"] == ["[redacted]"] * 3


def test_a_user_that_may_do_nothing(open_pages: Open, redis: redis_py.Redis) -> None:
    paths = paths_in(redis)
    with user(redis) as url:
        check_all(open_pages(url=url), paths, "nothing")


def _check_refusal(pages: Pages, redis: redis_py.Redis, word: str) -> None:
    """Raise unless each order of the API and each form is refused in words."""
    body = {"queue": "low", "class": "Archive"}
    found = pages.client.post(f"{API}/jobs/enqueue", json=body, headers=SAME_ORIGIN)
    assert found.status_code == 503, found.text
    problem = json.loads(found.text)
    assert word in problem["detail"]
    assert problem["maybe"] is False
    assert "nothing was done" in problem["detail"]
    assert redis.llen(key("queue:low")) == 0
    for route in routes("POST"):
        first, *_ = paths_of(route, redis, TEXT)
        answer = pages.client.post(first, headers=SAME_ORIGIN)
        assert answer.status_code != 500, (first, answer.text[:500])


def test_a_server_without_memory(open_pages: Open, redis: redis_py.Redis) -> None:
    fill(redis, TEXT)
    paths = paths_in(redis)
    pages = open_pages()
    redis.config_set("maxmemory", 1)
    try:
        found = check_all(pages, paths, "OOM")
        _check_refusal(pages, redis, "OOM")
    finally:
        redis.config_set("maxmemory", 0)
    assert 500 not in found


def test_a_server_that_is_a_replica(open_pages: Open, redis: redis_py.Redis) -> None:
    fill(redis, TEXT)
    paths = paths_in(redis)
    pages = open_pages()
    redis.replicaof("127.0.0.1", "1")
    try:
        check_all(pages, paths, "READONLY")
        _check_refusal(pages, redis, "READONLY")
    finally:
        redis.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    "reply",
    [
        "LOADING Redis is loading the dataset in memory",
        "MISCONF no disk",
        "BUSY script",
    ],
)
def test_a_server_that_answers_errors_alone(
    open_pages: Open, redis: redis_py.Redis, reply: str
) -> None:
    paths = paths_in(redis)
    with refusing(reply) as url:
        pages = open_pages(url=url)
        found = check_all(pages, paths, reply)
        assert found.count(503) > len(found) / 2
        _check_refusal(pages, redis, reply.split(" ", maxsplit=1)[0])


def test_an_order_whose_reply_is_lost_may_have_been_done(
    open_pages: Open, redis: redis_py.Redis, redis_url: str
) -> None:
    with Proxy(urlsplit(redis_url).port or 0) as proxy:
        pages = open_pages(url=proxy.url)
        pages.get("/overview")
        proxy.swallow_replies(of="RPUSH")
        body = {"queue": "low", "class": "Archive"}
        found = pages.client.post(f"{API}/jobs/enqueue", json=body, headers=SAME_ORIGIN)
        assert found.status_code == 503
        problem = json.loads(found.text)
        assert problem["maybe"] is True
        assert "may have been done" in problem["detail"]
        assert redis.llen(key("queue:low")) == 1
        with closing(redis):
            proxy.forward()


def test_an_old_snapshot_is_no_answer_for_a_program(
    open_pages: Open, redis_url: str
) -> None:
    with Proxy(urlsplit(redis_url).port or 0) as proxy:
        pages = open_pages(url=proxy.url)
        pages.get("/queues")
        pages.get(f"{API}/status")
        proxy.refuse()
        proxy.cut()
        with pages.client.application.app_context():
            pages.client.application.extensions["resqued"].keeper.forget()
        problem = json.loads(pages.get(f"{API}/status", 503).text)
        assert problem["stale"] is True
        assert problem["age"] >= 0
        pages.get("/queues")


@pytest.mark.parametrize("where", ["delayed", "queues"])
def test_what_was_done_before_redis_went_is_said_and_logged(
    open_pages: Open,
    redis: redis_py.Redis,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    redis.sadd(key("queues"), "low")
    redis.zadd(key("delayed_queue_schedule"), {"2000000000": 2_000_000_000})
    for number in range(3):
        job = {"class": "Archive", "args": [number], "queue": "low"}
        redis.rpush(key("delayed:2000000000"), json.dumps(job))
    with Proxy(redis.get_connection_kwargs()["port"]) as proxy:
        pages = open_pages(url=proxy.url)
        ids = re.findall(r'name="id" value="([^"]+)"', pages.get("/delayed").text)
        assert len(ids) == 3
        path, form, owner, name = {
            "delayed": ("/delayed/act", {"id": ids}, DelayedJobs, "run_now"),
            "queues": ("/queues/pause", {"only": "bG93"}, Queues, "pause_each"),
        }[where]
        own = getattr(owner, name)

        def act_and_go(*args: object) -> object:
            done = own(*args)
            proxy.refuse()
            proxy.cut()
            return done

        monkeypatch.setattr(owner, name, act_and_go)
        text = pages.post(path, 503, action="run", **form).text
        assert "it was done, at least in part" in text
        assert "nothing was done" not in text
    assert re.search(r'web_action.*"?count"?[=:] ?1', capfd.readouterr().err)
