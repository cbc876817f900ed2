"""The overview, the frame of every page, why, the search box, and the pause of all."""

from __future__ import annotations

import pytest
import redis as redis_py

import resqued
from tests.support.pages import Pages
from tests.web.conftest import Open


def test_queues_that_need_attention_come_first(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1:1:served")
    redis.hset("resque:workers:heartbeat", "web1:1:served", "2999-01-01T00:00:00Z")
    redis.sadd("resque:queues", "empty")
    client.enqueue_many([("Mail",)] * 5, queue="served")
    client.enqueue_to("lost", "Mail")
    html = pages.get("/overview").text
    text = pages.text("/overview")
    assert text.index("lost 1 0 0 no worker") < text.index("served 5")
    assert "1 empty" in text
    assert "Jobs wait in" in html
    assert "<title>(!) Overview" in html


def test_the_newest_failures_are_shown(pages: Pages, redis: redis_py.Redis) -> None:
    for number in range(7):
        entry = b'{"exception":"E%d","error":"<b>","payload":{"class":"C"}}'
        redis.rpush("resque:failed", entry % number)
    redis.rpush("resque:failed", b"no json")
    text = pages.text("/overview")
    assert "E6" in text
    assert "E2" not in text
    assert "<Unknown Job>" in text


def test_other_namespaces_are_named_on_demand(
    pages: Pages, redis: redis_py.Redis
) -> None:
    assert "/other_namespaces" in pages.get("/overview").text
    redis.sadd("staging:queues", "critical")
    redis.sadd("a:b:queues", "critical")
    assert "a:b" in pages.text("/other_namespaces")
    assert "--namespace staging" in pages.text("/other_namespaces")


def test_all_workers_are_paused_and_resumed(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1:1:*")
    assert "Pause all workers" in pages.text("/overview")
    pages.post("/pause_all")
    assert redis.get("resque:pause-all-workers") == b"true"
    html = pages.get("/queues?q=a").text
    assert "All workers are paused" in html
    assert 'name="back" value="/queues?q=a"' in html
    assert "Pause all workers" not in pages.text("/overview")
    pages.post("/resume_all", back="/queues?q=a")
    assert not redis.exists("resque:pause-all-workers")
    assert "All workers are paused" not in pages.get("/queues").text


def test_the_banner_names_who_has_paused(pages: Pages, redis: redis_py.Redis) -> None:
    redis.set("resque:pause-all-workers", "true")
    record = b'{"action":"pause","target":"all workers","user":"anna"}'
    redis.xadd("resque:resqued:audit", {"action": record})
    assert "All workers are paused by anna" in pages.get("/queues").text


def test_a_record_of_the_audit_that_is_none_harms_no_page(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.set("resque:pause-all-workers", "true")
    redis.xadd("resque:resqued:audit", {"action": b"no json"})
    assert "All workers are paused<" in pages.get("/queues").text


def test_a_viewer_cannot_resume(open_pages: Open, redis: redis_py.Redis) -> None:
    redis.set("resque:pause-all-workers", "true")
    pages = open_pages(read_only=True)
    assert "Resume" not in pages.get("/queues").text
    pages.post("/resume_all", 403)
    assert redis.exists("resque:pause-all-workers")


def test_why_names_the_cause_with_a_button(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("critical", "Mail", 1)
    redis.set("resque:pause-all-workers", "true")
    html = pages.get("/why/critical").text
    assert "no registered worker serves queue critical" in html
    assert 'action="/resume_all"' in html
    assert "critical" in pages.text("/why/Mail")


def test_why_offers_to_put_a_queue_into_the_set(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.rpush("resque:queue:lost", '{"class":"Mail","args":[]}')
    assert 'action="/unlisted_queues"' in pages.get("/why/lost").text


def test_why_of_a_class_reads_a_bounded_part_of_the_queues(
    pages: Pages, redis: redis_py.Redis
) -> None:
    for number in range(300):
        redis.sadd("resque:queues", f"q{number}")
        redis.rpush(f"resque:queue:q{number}", *[b'{"class":"A","args":[]}'] * 10)
    before = redis.info("commandstats").get("cmdstat_lrange", {"calls": 0})["calls"]
    text = pages.text("/why/Absent")
    after = redis.info("commandstats")["cmdstat_lrange"]["calls"]
    assert after - before <= 110
    assert "looked for among the first jobs" in text


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("critical", "/queues/critical"),
        ("crit", "/queues?q=crit"),
        ("a/../b", "/queues/-?name64="),
        ("web1", "/workers/web1"),
        ("web1:1:critical", "/workers/web1:1:critical"),
        ("myapp.Mail", "/why/myapp.Mail"),
        ("//evil.example", "/why/"),
        ("", "/queues"),
    ],
)
def test_the_search_box_goes_to_what_is_named(
    pages: Pages, redis: redis_py.Redis, text: str, goal: str
) -> None:
    redis.sadd("resque:queues", "critical", "a/../b")
    redis.sadd("resque:workers", "web1:1:critical")
    found = pages.get("/search", 302, query_string={"q": text})
    assert found.headers["Location"].startswith(goal)
