"""The shared snapshot: what it reads, how often, and while Redis is away."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from msgspec.structs import replace

import resqued
from resqued.client import Client
from resqued.diagnostics.worker_status import worker_statuses
from resqued.errors import StoreError
from resqued.system.redis_server import EmbeddedServer
from resqued.web import shared_read
from resqued.web.shared_read import Breaker, SharedRead
from resqued.web.snapshot import LONGEST_RECORD
from resqued.wire.worker_record import TOO_LONG
from tests.support.pages import Open, Pages
from tests.support.shared_reads import end_readers
from tests.support.wait import wait_until

THREADS = 8


def commands(redis: redis_py.Redis) -> Counter[str]:
    found: dict[str, Any] = redis.info("commandstats")
    return Counter({name[8:]: stats["calls"] for name, stats in found.items()})


def test_many_tabs_cost_no_more_than_one(pages: Pages, redis: redis_py.Redis) -> None:
    redis.sadd("resque:queues", *(f"q{number}" for number in range(50)))
    redis.sadd("resque:workers", "web1:1:*")
    before = commands(redis)
    began = time.monotonic()
    for _ in range(50):
        pages.get("/overview")
    seconds = time.monotonic() - began
    used = commands(redis) - before
    # One look reads the length of each of 50 queues, and there is one look a second.
    assert used["llen"] <= 52 * (seconds + 1)
    assert used["llen"] < 50 * 52 or seconds > 40


def test_a_slow_site_sends_nothing_after_its_test(
    open_pages: Open, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a later test that counts commands would fail on a busy machine."""
    monkeypatch.setattr(shared_read, "SLOW", 0.0)
    pages = open_pages()

    def readers() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if name == shared_read.THREAD]

    for _ in range(2):
        pages.get("/overview")
    assert readers()
    end_readers()
    assert not readers()
    before = commands(redis)
    assert commands(redis) - before == Counter(info=1)


def test_workers_and_jobs_are_read_for_pages_that_show_them_alone(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1:1:*")
    before = commands(redis)
    pages.get("/queues?q=nothing")
    pages.get("/readyz")
    found = commands(redis) - before
    # Once for a snapshot, which asks for the delayed jobs once; more than a second may
    # be between the pages.
    assert 1 <= found["exists"] == found["zcard"] <= 2


def test_of_a_long_record_only_the_beginning_is_read(
    client: resqued.Client, redis: redis_py.Redis
) -> None:
    record = {
        "queue": "critical",
        "run_at": "2026-01-01T00:00:00Z",
        "payload": {"class": "Archive", "args": ["x" * 10 * LONGEST_RECORD]},
    }
    redis.sadd("resque:workers", "web1:1:critical")
    redis.set("resque:worker:web1:1:critical", json.dumps(record))
    (found,) = worker_statuses(client, longest_record=LONGEST_RECORD)
    job = found.worker.job
    assert job is not None
    assert (job.queue, job.class_name) == ("critical", "Archive")
    assert job.args == (TOO_LONG,)
    assert found.job_age is not None


def test_after_an_action_nobody_gets_a_look_from_before_it() -> None:
    values = iter(range(9))
    entered, leave = threading.Event(), threading.Event()

    def read() -> int:
        value = next(values)
        if value == 1:
            entered.set()
            assert leave.wait(30)
        return value

    shared = SharedRead(read, Breaker())
    assert shared.get().value == 0
    shared.forget()
    slow = threading.Thread(target=shared.get)
    slow.start()
    assert entered.wait(30)
    # The action comes while another thread reads.
    shared.forget()
    leave.set()
    assert shared.get().value == 2
    slow.join()


def test_while_redis_is_away_one_thread_a_second_tries(tmp_path: Path) -> None:
    """Eight threads, a server that is killed, and one that comes back in its place."""
    first = EmbeddedServer.start(tmp_path, options={"requirepass": ""})
    url, port = first.url, first.port
    tries = []
    counted = threading.Lock()
    with Client(url, timeout=0.5) as client:

        def read() -> int:
            with counted:
                tries.append(time.monotonic())
            return client.size("critical")

        breaker = Breaker()
        parts = [SharedRead(read, breaker), SharedRead(read, breaker)]
        assert [part.get().value for part in parts] == [0, 0]
        problems: Counter[bool] = Counter()
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                for part in parts:
                    found = part.get()
                    with counted:
                        problems[bool(found.problem)] += 1
                time.sleep(0)

        threads = [threading.Thread(target=look) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        first.stop()
        wait_until(lambda: problems[True] > 0)
        with counted:
            tries.clear()
            problems.clear()
        began = time.monotonic()
        wait_until(lambda: len(tries) >= 2 and problems[True] > 200)
        seconds = time.monotonic() - began
        # Two parts, eight threads: never more than one try in a second.
        assert len(tries) <= seconds + 2
        with EmbeddedServer.start(
            tmp_path, port=port, options={"requirepass": ""}
        ) as second:
            assert second.url == url
            wait_until(lambda: not any(part.get().problem for part in parts))
            stop.set()
            for thread in threads:
                thread.join(30)
    assert breaker.problem is None


def test_a_page_that_reads_by_itself_fails_at_once_while_redis_is_away(
    tmp_path: Path, open_pages: Any
) -> None:
    server = EmbeddedServer.start(tmp_path, options={"requirepass": ""})
    pages = open_pages(url=server.url)
    with resqued.Client(server.url) as client:
        client.enqueue_to("critical", "Archive", 1)
    pages.get("/overview")
    server.stop()
    wait_until(lambda: "Redis does not answer" in pages.get("/overview").text)
    began = time.process_time()
    assert "critical" in pages.text("/overview")
    assert pages.get("/queues/critical", 503).headers["Retry-After"]
    assert time.process_time() - began < 30


def test_without_any_look_the_problem_is_raised() -> None:
    def read() -> int:
        raise StoreError("away")

    shared = SharedRead(read, Breaker())
    for _ in range(2):
        with pytest.raises(StoreError, match="away"):
            shared.get()


def test_a_value_that_is_slow_to_read_is_kept_up_while_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_read, "UNSEEN", 3.0)
    readers = []

    def read() -> int:
        readers.append(threading.current_thread())
        time.sleep(2 * shared_read.SLOW)
        return len(readers)

    shared = SharedRead(read, Breaker())
    wait_until(lambda: shared.get().value >= 4, what="three later readings")
    first, *later = readers
    assert first is threading.current_thread()
    (thread,) = set(later)
    # An action has changed something: who looks now waits for what it has changed.
    shared.forget()
    assert shared.get().value > len(later) + 1
    wait_until(lambda: not thread.is_alive(), what="the end, since nobody looks")
    count = len(readers)
    # By now it is so old that a request reads it, and the thread continues.
    wait_until(
        lambda: time.monotonic() - shared._tried_at > shared_read.OLDEST,
        what="an old value",
    )
    assert shared.get().value == count + 1
    assert readers[-1] is threading.current_thread()


def test_a_problem_is_found_out_by_a_thread_once_there_is_a_value() -> None:
    readers = []

    def read() -> int:
        readers.append(threading.current_thread())
        if len(readers) > 1:
            raise StoreError("away")
        return 1

    shared = SharedRead(read, Breaker())
    assert shared.get().value == 1
    wait_until(lambda: shared.get().problem == "away")
    count = len(readers)
    wait_until(lambda: len(readers) > count or not shared.get())
    assert readers[-1] is not threading.current_thread()
    assert shared.get() == replace(shared.get(), value=1, problem="away")
