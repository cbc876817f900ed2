"""Tasks on a queue: all jobs of a class, a move, and the removal of a long queue."""

from __future__ import annotations

import re

import pytest
import redis as redis_py

import resqued
from tests.support.pages import Pages, hidden_fields
from tests.support.wait import wait_until
from tests.web.conftest import Open


@pytest.fixture
def queued(client: resqued.Client) -> resqued.Client:
    """Six jobs on low: three of Mail, three of Sync."""
    for number in range(6):
        client.enqueue_to("low", "Mail" if number % 2 else "Sync", number)
    return client


def ended(pages: Pages, location: str) -> str:
    """Wait until a task is done, and return the text of its page."""
    return wait_until(
        lambda: (text := pages.text(location)) and "Ended" in text and text,
        what="the task to end",
    )


def test_all_jobs_of_a_class_are_removed(
    pages: Pages, queued: resqued.Client, redis: redis_py.Redis
) -> None:
    link = re.search(r'href="(/dequeue/low)"', pages.get("/queues/low").text)
    assert link
    first = pages.get(link[1]).text
    assert 'href="/dequeue/low?class=Mail"' in first
    asked = pages.get("/dequeue/low?class=Mail")
    assert "How many 3" in pages.text("/dequeue/low?class=Mail")
    form = hidden_fields(asked.text)
    assert form == {"class": "Mail", "expected": "3"} | _back(form)
    where = pages.post("/dequeue/low?class=Mail", **form).location
    assert "3 removed of 3" in ended(pages, where)
    assert {job["class"] for job in queued.peek("low", 0, 9)} == {"Sync"}
    records = b"".join(f[b"action"] for _, f in redis.xrange("resque:resqued:audit"))
    assert records.count(b"dequeue class") == 2


def _back(form: dict[str, str]) -> dict[str, str]:
    return {name: form[name] for name in ("back",) if name in form}


def test_a_class_that_is_not_named_removes_nothing(
    pages: Pages, queued: resqued.Client
) -> None:
    assert "Name a class" in pages.post("/dequeue/low", 422).text
    assert "How many 0" in pages.text("/dequeue/low?class=Other")
    assert queued.size("low") == 6


def test_a_queue_is_moved_behind_another(pages: Pages, queued: resqued.Client) -> None:
    queued.enqueue_to("slow", "First", 0)
    text = pages.text("/move_queue/low?to=slow")
    assert "Move all jobs of queue low to queue slow?" in text
    assert "1 job waits there" in text
    form = hidden_fields(pages.get("/move_queue/low?to=slow").text)
    where = pages.post("/move_queue/low", **form, rate="0").location
    assert "6 moved of 6" in ended(pages, where)
    assert queued.size("low") == 0
    assert [job["args"][0] for job in queued.peek("slow", 0, 9)] == [0, *range(6)]


def test_where_a_queue_cannot_go(
    pages: Pages, queued: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.set("resque:queue:text", "x")
    assert "no list" in pages.get("/move_queue/low?to=text", 409).text
    assert "already" in pages.get("/move_queue/low?to=low", 422).text
    assert "already" in pages.post("/move_queue/low", 422, to="low").text
    assert "Name the other queue" in pages.post("/move_queue/low", 422).text
    assert (
        "must be a number" in pages.post("/move_queue/low", 422, to="a", rate="-1").text
    )
    assert "no queue of that name is known" in pages.text("/move_queue/low?to=lwo")
    assert queued.size("low") == 6


def test_a_long_queue_is_removed_by_a_task(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", "low")
    redis.rpush("resque:queue:low", *[b'{"class":"Mail","args":[7]}'] * 501)
    asked = pages.text("/remove_queue/low")
    assert "501 jobs wait there and will be lost" in asked
    assert "It runs as a task" in asked
    assert "Mail" in asked
    pages.post("/queues/low/remove", 409, typed="other")
    where = pages.post("/queues/low/remove", typed="low").location
    assert where.startswith("/tasks/")
    assert "501 removed of 501" in ended(pages, where)
    assert client.queues() == []


def test_a_key_that_is_no_list_has_no_jobs_of_a_class(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.set("resque:queue:text", "x")
    for path in ("/dequeue/text", "/move_queue/text"):
        assert "is no list" in pages.get(path, 409).text
    assert "is no list" in pages.text("/remove_queue/text")


@pytest.mark.parametrize("name", ["a/b", "-", "ü", "a\nb", "<i>"])
def test_any_queue_can_be_moved(
    pages: Pages, client: resqued.Client, name: str
) -> None:
    client.enqueue_to(name, "Mail", 1)
    link = pages.get("/queues").text.split('class="name" href="')[1].split('"')[0]
    page = pages.get(link.replace("&amp;", "&")).text
    for action in ("dequeue", "move_queue"):
        found = re.search(rf'href="(/{action}/[^"]*)"', page)
        assert found
        assert "1" in pages.text(found[1].replace("&amp;", "&"))


def test_a_viewer_starts_none(open_pages: Open, queued: resqued.Client) -> None:
    pages = open_pages(read_only=True)
    assert "/dequeue/low" not in pages.get("/queues/low").text
    for path in ("/dequeue/low", "/move_queue/low"):
        pages.get(path, 403)
        pages.post(path, 403, to="a", **{"class": "Mail"})
    assert queued.size("low") == 6
