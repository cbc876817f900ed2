"""A pause of one queue, from its page, from the list, and from the findings of why."""

from __future__ import annotations

import base64

import redis as redis_py

import resqued
from tests.support.pages import Pages
from tests.web.conftest import Open

PAUSED = "resque:resqued:paused"


def mark(name: str) -> str:
    """A name as forms carry it."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def by_proxy(open_pages: Open) -> tuple[Pages, dict[str, str]]:
    """Pages for which a proxy names the user anna."""
    pages = open_pages(
        auth="proxy", trusted_proxies=("127.0.0.1",), roles={"operator": ("*",)}
    )
    return pages, {"Sec-Fetch-Site": "same-origin", "X-Remote-User": "anna"}


def test_a_queue_is_paused_and_resumed_and_its_pages_say_so(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("critical", "Mail", 1)
    assert 'formaction="/queues/pause"' in pages.get("/queues/critical").text
    pages.post("/queues/pause", only=mark("critical"))
    assert client.paused_queues() == ["critical"]
    for path in ("/queues", "/queues/critical", "/overview"):
        assert "paused" in pages.text(path)
    assert 'formaction="/queues/resume"' in pages.get("/queues/critical").text
    pages.post("/queues/resume", only=mark("critical"), back="/queues/critical")
    assert client.paused_queues() == []
    assert "paused" not in pages.text("/queues/critical")


def test_the_ticked_queues_are_paused_unless_a_row_was_meant(
    pages: Pages, client: resqued.Client
) -> None:
    pages.post("/queues/pause", id=[mark("a"), mark("b/c")], only=mark("ü"))
    assert client.paused_queues() == ["ü"]
    pages.post("/queues/pause", id=[mark("a"), mark("b/c")])
    assert client.paused_queues() == ["a", "b/c", "ü"]
    pages.post("/queues/resume", id=[mark("a"), mark("ü")])
    assert client.paused_queues() == ["b/c"]
    assert "No queue was selected" in _after(pages, "/queues/pause")
    pages.post("/queues/pause", 400, id=[mark(str(number)) for number in range(101)])


def _after(pages: Pages, path: str, **form: str) -> str:
    pages.post(path, **form)
    return pages.get("/queues").text


def test_pages_name_who_has_paused(open_pages: Open, client: resqued.Client) -> None:
    client.enqueue_to("critical", "Mail", 1)
    pages, headers = by_proxy(open_pages)
    form = {"only": mark("critical")}
    pages.client.post("/queues/pause", data=form, headers=headers)
    for path in ("/queues", "/queues/critical"):
        assert "paused by anna" in pages.get(path, headers=headers).text
    assert "anna has paused it" in pages.get("/why/critical", headers=headers).text
    pages.client.post("/queues/resume", data=form, headers=headers)
    client.pause_queue("critical")
    pages.client.post("/resume_all", headers=headers)
    assert "by anna" not in pages.get("/queues/critical", headers=headers).text


def test_why_offers_to_resume_the_queue(pages: Pages, client: resqued.Client) -> None:
    client.enqueue_to("critical", "Mail", 1)
    client.pause_queue("critical")
    html = pages.get("/why/critical").text
    assert 'action="/queues/resume"' in html
    assert "resqued queues resume" not in html


def test_the_message_says_whether_ruby_workers_stop(
    pages: Pages, redis: redis_py.Redis
) -> None:
    assert "Ruby workers, if any, continue" in _after(
        pages, "/queues/pause", only=mark("a")
    )
    redis.sadd("resque:queues", "mail")
    redis.set("resque:pause:queue:mail", "true")
    assert "Ruby workers" not in _after(pages, "/queues/pause", only=mark("b"))
    assert redis.get("resque:pause:queue:b") == b"true"


def test_a_paused_queue_names_the_workers_that_go_on(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1:1:critical", "web1:2:critical")
    redis.sadd(PAUSED, "critical")
    assert "2 workers of other libraries serve it" in pages.text("/queues/critical")
    redis.set("resque:pause:queue:critical", "true")
    assert "other libraries" not in pages.text("/queues/critical")


def test_a_paused_queue_costs_no_round_trip_more(
    pages: Pages, redis: redis_py.Redis
) -> None:
    before = redis.info("commandstats")
    pages.get("/queues?q=nothing")
    after = redis.info("commandstats")

    def calls(found: dict[str, dict[str, int]], name: str) -> int:
        return found.get(f"cmdstat_{name}", {"calls": 0})["calls"]

    assert calls(after, "xrevrange") == calls(before, "xrevrange")
    # The sets of queues, of workers, and of paused queues.
    assert calls(after, "smembers") - calls(before, "smembers") == 3


def test_a_viewer_pauses_nothing(open_pages: Open, client: resqued.Client) -> None:
    client.enqueue_to("critical", "Mail", 1)
    client.pause_queue("critical")
    pages = open_pages(read_only=True)
    for path in ("/queues", "/queues/critical", "/why/critical"):
        assert "/queues/resume" not in pages.get(path).text
    pages.post("/queues/resume", 403, only=mark("critical"))
    assert client.paused_queues() == ["critical"]
