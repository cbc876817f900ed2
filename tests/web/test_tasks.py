"""Tasks whose processes die, whose orders come from elsewhere, and whose list goes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis as redis_py
from flask import g

import resqued
from resqued.core import task_state
from resqued.core.task_state import TaskRecord
from resqued.store import bulk
from resqued.store.bulk import BulkProgress
from resqued.store.task_records import TaskRecords
from resqued.system.redis_server import EmbeddedServer
from resqued.web import task_kinds, task_runner, tasks
from resqued.web.identity import user_of
from resqued.wire.keys import Keys
from tests.support.cli import add_failure
from tests.support.pages import Pages, hidden_fields
from tests.support.wait import wait_until
from tests.support.web_server import WebServer

ACTION = "/failed/bulk/retry_remove"


@pytest.fixture
def failures(redis: redis_py.Redis) -> redis_py.Redis:
    for number in range(300):
        add_failure(redis, number)
    return redis


def numbers(client: resqued.Client) -> tuple[list[int], list[int]]:
    """Return the arguments of the failures that are left, and of the queued jobs."""
    left = [each.args[0] for each in client.failures.oldest_first()]
    queued = [job["args"][0] for job in client.peek("mail", 0, 10_000)]
    return left, queued


def says(pages: Any, where: str, text: str) -> None:
    """Wait until a page says something."""
    wait_until(lambda: text in pages.text(where), what=f"{where} to say {text!r}")


def begin(pages: Pages, rate: int) -> str:
    """Start a task, and return its page when it has begun to work."""
    form = hidden_fields(pages.get(ACTION).text)
    where = pages.post(ACTION, **form, rate=str(rate)).location
    wait_until(lambda: " 0 retried" not in pages.text(where), what="the first step")
    return where


def test_another_process_goes_on_with_the_task_of_a_dead_one(
    pages: Pages,
    failures: redis_py.Redis,
    client: resqued.Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with WebServer(client.url, tmp_path) as process:
        form = hidden_fields(process.html(ACTION))
        where = process.post(ACTION, **form, rate="20")
        wait_until(lambda: client.size("mail") >= 20, what="the first step")
        process.kill()
    add_failure(failures, 300)
    monkeypatch.setattr(task_state, "ABANDONED_AFTER", 1.0)
    says(pages, where, "abandoned The process that ran it is gone")
    # The list is free when the lease of the dead process has ended.
    failures.delete("resque:resqued:bulk:owner:failed", "resque:resqued:web:turn")
    failures.hset(f"resque:resqued:web:task:{where.rpartition('/')[2]}", "rate", 0)
    pages.post(where, order="go_on")
    pages.post(where, 409, order="go_on")
    says(pages, where, "done Done")
    left, queued = numbers(client)
    assert left == [300]
    assert queued == list(range(300))


def test_any_process_pauses_resumes_and_stops_a_task(
    open_pages: Any, failures: redis_py.Redis, client: resqued.Client
) -> None:
    pages, others = open_pages(), open_pages()
    where = begin(pages, 20)
    others.post(where, order="pause")
    says(others, where, "paused")
    paused_at = client.size("mail")
    left, queued = numbers(client)
    assert sorted(left + queued) == list(range(300))
    others.post(where, order="run")
    wait_until(lambda: client.size("mail") > paused_at, what="more jobs")
    others.post(where, order="stop")
    says(pages, where, "stopped")
    left, queued = numbers(client)
    assert 0 < len(queued) < 300
    assert left + queued == [*range(len(queued), 300), *range(len(queued))]
    assert "stopped" in others.text("/tasks")


def test_of_two_tasks_one_waits(
    open_pages: Any, failures: redis_py.Redis, client: resqued.Client
) -> None:
    pages, others = open_pages(), open_pages()
    first = begin(pages, 50)
    form = hidden_fields(others.get(ACTION).text)
    second = others.post(ACTION, **form, rate="0").location
    says(pages, second, "waits for another task")
    pages.post(first, order="stop")
    says(pages, second, "done")
    left, queued = numbers(client)
    assert not left
    assert queued == list(range(300))


def test_waiting_tasks_run_in_the_order_of_their_starts(
    redis: redis_py.Redis, client: resqued.Client
) -> None:
    """The turn goes to the task that was started first, not to the first that asks."""
    link = client.registry.link
    records = TaskRecords(link, Keys("resque"))
    names = ("state", "beat")
    first, second, third = (
        TaskRecord(id=name, kind="retry", runner=name) for name in ("c", "b", "a")
    )
    for task in (first, second, third):
        records.add(task)

    def asks(task: TaskRecord, *, wants: bool = True) -> bool:
        found = records.write(task, by=task.runner, names=names, has_turn=wants)
        assert found is not None
        return found.has_turn

    assert asks(first)
    assert not asks(second)
    assert not asks(third)
    asks(first, wants=False)
    assert [asks(each) for each in (third, second, third)] == [False, True, False]
    # One that waits and has no beat any more is passed over.
    asks(second, wants=False)
    assert redis.hkeys("resque:resqued:web:line") == [b"a"]
    redis.hset("resque:resqued:web:line", "c", "100 1000")
    redis.hset("resque:resqued:web:line", "x", "not ours")
    assert asks(third)
    assert not redis.exists("resque:resqued:web:line")


def test_a_third_task_waits_for_the_second(
    open_pages: Any, failures: redis_py.Redis, client: resqued.Client
) -> None:
    pages, retry = open_pages(), "/failed/bulk/retry"
    first = begin(pages, 50)
    form = hidden_fields(pages.get(retry).text)
    places = [pages.post(retry, **form, rate="0").location for _ in range(2)]
    for where in places:
        says(pages, where, "waits for another task")
    pages.post(first, order="stop")
    for where in places:
        says(pages, where, "Ended")
    # The second has retried all that the first one has left; the third found none.
    left, queued = numbers(client)
    assert queued == list(range(300))
    assert f"{len(left)} retried" in pages.text(places[0])
    assert " 0 retried" in pages.text(places[1])


def test_a_list_that_is_cleared_meanwhile_ends_the_task(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client
) -> None:
    where = begin(pages, 20)
    client.failures.clear()
    add_failure(failures, 999)
    says(pages, where, "look at the list again")
    assert "failed" in pages.text(where)
    left, queued = numbers(client)
    assert left == [999]
    assert queued == list(range(len(queued)))


@pytest.mark.parametrize("has_new_one", [False, True])
def test_a_list_of_which_nothing_seen_is_left_ends_the_task_as_done(
    pages: Pages,
    failures: redis_py.Redis,
    client: resqued.Client,
    *,
    has_new_one: bool,
) -> None:
    where = begin(pages, 20)
    client.failures.clear()
    if has_new_one:
        add_failure(failures, int(time.time()) - 1_700_000_000 + 60)
    says(pages, where, "Ended")
    text = pages.text(where)
    assert "done Done" in text
    queued = numbers(client)[1]
    assert f"{len(queued)} retried and removed" in text
    assert client.failures.count() == has_new_one


def test_a_task_waits_while_redis_is_away(open_pages: Any, tmp_path: Path) -> None:
    options = {"requirepass": "", "appendfsync": "always"}
    first = EmbeddedServer.start(tmp_path, append_only=True, options=options)
    port = urlsplit(first.url).port
    try:
        with resqued.Client(first.url) as client:
            with redis_py.Redis.from_url(first.url) as redis:
                for number in range(200):
                    add_failure(redis, number)
            pages = open_pages(url=first.url)
            where = begin(pages, 40)
            os.kill(first.pid, signal.SIGKILL)
            says(pages, where, "waits for Redis")
            first.stop()
            with EmbeddedServer.start(
                tmp_path, port=port, append_only=True, options=options
            ):
                says(pages, where, "done Done")
                left, queued = numbers(client)
                assert not left
                assert queued == list(range(200))
    finally:
        first.stop()


def test_an_end_of_the_process_puts_back_what_is_in_hand(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client
) -> None:
    begin(pages, 20)
    own = pages.client.application.extensions["resqued-tasks"]
    own.leave()
    assert not failures.exists("resque:resqued:bulk")
    left, queued = numbers(client)
    assert left + queued == [*range(len(queued), 300), *range(len(queued))]
    assert bulk.LEASE > task_runner.BEAT


@pytest.mark.parametrize(
    ("kind", "choice", "left", "moved"),
    [
        ("move_queue", {"queue": "mail", "to": "late"}, 0, 40),
        ("dequeue_class", {"queue": "mail", "class": "Old"}, 20, 0),
        ("remove_queue", {"queue": "mail"}, 0, 0),
    ],
)
def test_tasks_on_queues(
    pages: Pages,
    client: resqued.Client,
    *,
    kind: str,
    choice: dict[str, str],
    left: int,
    moved: int,
) -> None:

    for number in range(20):
        client.enqueue_to("mail", "Old", number)
        client.enqueue_to("mail", "New", number)
    with pages.client.application.test_request_context():
        g.user, g.request_id = user_of("anna", "admin"), "1"
        task_id = tasks.start(kind, choice)
    says(pages, f"/tasks/{task_id}", "done Done")
    assert client.size("mail") == left
    assert client.size("late") == moved
    if moved:
        assert [job["args"][0] for job in client.peek("late", 0, 4)] == [0, 0, 1, 1]


def test_an_unknown_task_is_not_found(pages: Pages) -> None:
    assert "kept for a day" in pages.get("/tasks/x", 404).text


def test_only_so_many_searches_go_on_at_once(
    pages: Pages, failures: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def search(*_: object) -> Iterator[BulkProgress]:
        end.wait()
        yield BulkProgress(1, 1, 0)

    monkeypatch.setitem(cast("dict[str, Any]", task_kinds.STEPS), "search", search)
    try:
        places = [pages.post("/failed/search", text="x").location for _ in range(8)]
        assert "8 searches run" in pages.post("/failed/search", 429, text="x").text
    finally:
        end.set()
    says(pages, f"/tasks/{places[0].rpartition('/')[2]}", "done")
    wait_until(lambda: not in_search(pages), what="the searches to end")
    pages.post("/failed/search", text="x")


def in_search(pages: Pages) -> int:
    with pages.client.application.app_context():
        return tasks.tasks().searches()
