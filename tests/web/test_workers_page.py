"""The pages of running jobs and of workers; a job of a real pool is ended there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.pages import Pages
from tests.support.pool import pool
from tests.support.wait import wait_until
from tests.web.conftest import Open


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def register(
    redis: redis_py.Redis, worker_id: str, *, job: str = "", age: int = 0, beat: int = 0
) -> None:
    """Register a worker as Ruby does; its heartbeat is `beat` seconds old."""
    now = redis.time()[0]
    redis.sadd("resque:workers", worker_id)
    redis.hset("resque:workers:heartbeat", worker_id, _iso(now - beat))
    if job:
        record = {
            "queue": "critical",
            "run_at": _iso(now - age),
            "payload": {"class": job, "args": [1, "two"]},
        }
        redis.set(f"resque:worker:{worker_id}", json.dumps(record))


def test_without_jobs_the_queues_that_wait_are_named(
    pages: Pages, client: resqued.Client
) -> None:
    assert "No job runs." in pages.text("/working")
    client.enqueue_to("critical", "Mail", 1)
    pages.post("/put_job_first/critical", 400)
    assert "No job runs" in pages.text("/working")


def test_running_jobs_are_listed_the_longest_first(
    pages: Pages, redis: redis_py.Redis
) -> None:
    register(redis, "web1:1:critical", job="Short", age=5)
    register(redis, "web2:2:critical", job="Long", age=500)
    register(redis, "web3:3:critical")
    text = pages.text("/working")
    assert text.index("Long") < text.index("Short")
    assert "web3" not in text
    assert "8m 20s" in text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("host=web1", ["Short"]),
        ("class=Long", ["Long"]),
        ("queue=critical", ["Long", "Short"]),
        ("queue=none", []),
        ("longer=1m", ["Long"]),
        ("longer=60", ["Long"]),
        ("longer=1h", []),
    ],
)
def test_running_jobs_are_filtered(
    pages: Pages, redis: redis_py.Redis, query: str, shown: list[str]
) -> None:
    register(redis, "web1:1:critical", job="Short", age=5)
    register(redis, "web2:2:critical", job="Long", age=500)
    names = re.findall(
        r'<strong class="name">(\w+)</strong>', pages.get(f"/working?{query}").text
    )
    assert names == shown


def test_a_filter_that_is_no_duration_is_refused(
    pages: Pages, redis: redis_py.Redis
) -> None:
    register(redis, "web1:1:critical", job="Short")
    assert "no duration" in pages.get("/working?longer=soon", 400).text


def test_the_path_of_resque_leads_to_the_worker(pages: Pages) -> None:
    found = pages.get("/working/web1:1:a,b", 302)
    assert found.headers["Location"].endswith("/workers/web1:1:a,b")


def test_workers_are_grouped_by_host(pages: Pages, redis: redis_py.Redis) -> None:
    register(redis, "web1:1:critical", job="Mail")
    register(redis, "web1:2:critical")
    register(redis, "web2:1:critical", beat=4_000)
    text = pages.text("/workers")
    assert "web1 2 1 1 0 0 0" in text
    assert "web2 1 0 0 0 1 0" in text
    assert "web2:1:critical" not in pages.text("/workers/web1")
    assert "web2:1:critical" in pages.text("/workers/all")
    assert "web1:1" not in pages.text("/workers/all?state=silent")


def test_of_one_host_the_workers_are_listed_at_once(
    pages: Pages, redis: redis_py.Redis
) -> None:
    assert "No worker is registered" in pages.text("/workers")
    redis.flushall()
    register(redis, "web1:1:critical")
    wait_until(lambda: "web1:1:critical" in pages.text("/workers"))


@pytest.mark.parametrize("worker_id", ["web1:1:a/b,..", "web1:1:*", "web1:1: ", "x"])
def test_every_worker_has_a_page(
    pages: Pages, redis: redis_py.Redis, worker_id: str
) -> None:
    register(redis, worker_id, job="Mail")
    register(redis, "other:1:*")
    html = pages.get("/workers/all").text
    links = re.findall(r'<td><a class="name" href="([^"]*)"', html)
    found = [pages.text(link.replace("&amp;", "&")) for link in links]
    assert any("Mail" in text and "it runs a job" in text for text in found)


def test_a_worker_that_is_gone_has_no_page(pages: Pages) -> None:
    assert "may have ended" in pages.get("/workers/web9:1:*", 404).text


def test_a_silent_worker_is_removed_and_its_job_fails(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    register(redis, "web1:1:critical", job="Mail", age=4_000, beat=4_000)
    assert "Remove it; its job becomes a failure" in pages.text(
        "/workers/web1:1:critical"
    )
    pages.post("/remove_worker/web1:1:critical")
    assert not redis.smembers("resque:workers")
    assert client.failures.count() == 1
    pages.post("/remove_worker/web1:1:critical", 409)


def test_a_live_worker_is_not_removed(pages: Pages, redis: redis_py.Redis) -> None:
    register(redis, "web1:1:critical")
    assert "Remove it" not in pages.text("/workers/web1:1:critical")
    refused = pages.post("/remove_worker/web1:1:critical", 409)
    assert "is alive" in refused.text
    assert redis.smembers("resque:workers")


def test_a_job_of_another_host_is_ended_there(
    pages: Pages, redis: redis_py.Redis
) -> None:
    register(redis, "web1:1:critical", job="Mail")
    assert "resqued kill web1:1:critical" in pages.text("/workers/web1:1:critical")
    pages.post("/stack/web1:1:critical", 409)
    pages.post("/kill_jobs", id="d2ViMToxOmNyaXRpY2Fs.77")
    assert "is not of this host" in pages.get("/working").text


def test_a_job_of_this_host_is_seen_and_ended(
    open_pages: Open,
    redis: redis_py.Redis,
    client: resqued.Client,
    tmp_path: Path,
    redis_url: str,
) -> None:
    pages = open_pages(control=str(tmp_path / "run"))
    with pool(redis_url, tmp_path, queues="critical"):
        client.enqueue_to("critical", "Nap", 300)
        wait_until(lambda: redis.llen("started"))
        (worker,) = client.working()
        page = f"/workers/{worker.id}"
        wait_until(lambda: "Process of the job" in pages.text(page))
        assert "Memory" in pages.text(page)
        stack = pages.post(f"/stack/{worker.id}", 200).text
        assert "jobs.py" in stack
        found = re.search(r'name="id" value="([^"]*)"', pages.get("/working").text)
        assert found is not None
        assert "Nap" in pages.text(f"/kill_jobs?id={found[1]}")
        # The mark of another process of the worker means another job.
        name, _, child = found[1].partition(".")
        pages.post("/kill_jobs", id=f"{name}.{int(child) + 1}")
        assert client.working()
        pages.post("/kill_jobs", id=found[1])
        wait_until(lambda: client.failures.count() == 1)
