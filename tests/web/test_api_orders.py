"""The JSON API of orders: to jobs and to masters of a real pool, and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.store.master_records import MasterRecords
from resqued.wire.keys import Keys
from tests.support.pages import Open, Pages
from tests.support.pool import pool
from tests.support.route_samples import API
from tests.support.wait import wait_until
from tests.web.test_api import check_answer, get, post
from tests.web.test_masters_page import record
from tests.web.test_workers_page import register


def test_orders_reach_jobs_and_masters_of_this_host(
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

        def running() -> dict[str, object] | None:
            (found,) = get(pages, "/working")["workers"]
            return found if found["child"] else None

        job = wait_until(running, what="the process of the job")
        check_answer("GET", f"{API}/working", pages.get(f"{API}/working"))
        about = {"worker": job["id"], "child": job["child"]}
        stack = post(pages, "/orders", order="stack", worker=job["id"])
        assert stack["child"] == job["child"]
        assert any("jobs.py" in line for line in stack["stack"])
        # Another process of the worker means another job.
        other = about | {"child": int(str(job["child"])) + 1}
        assert (
            "has ended" in post(pages, "/orders", 409, order="kill", **other)["detail"]
        )
        assert client.working()
        assert post(pages, "/orders", order="kill", **about)["child"] == job["child"]
        wait_until(lambda: client.failures.count() == 1)
        assert (
            "has ended" in post(pages, "/orders", 409, order="kill", **about)["detail"]
        )
        (master,) = get(pages, "/masters")["masters"]
        for order in ("pause", "resume"):
            done = post(pages, "/orders", order=order, master=master["id"])
            assert done["master"] == master["id"]
        scaled = {"order": "scale", "master": master["id"], "queues": "critical"}
        assert "2 workers" in post(pages, "/orders", **scaled, count="+1")["message"]
        assert "is not N" in post(pages, "/orders", 409, **scaled, count="x")["detail"]
        post(pages, "/orders", 409, **scaled | {"queues": "other"}, count="1")
        post(pages, "/orders", 422, **scaled)
        reloaded = post(pages, "/orders", order="reload", master=master["id"])
        assert "generation 2" in reloaded["message"]
    actions = get(pages, "/audit")["actions"]
    assert {"kill", "stack", "pause", "resume", "scale", "reload"} == {
        each["action"] for each in actions
    }


@pytest.mark.parametrize("order", ["kill", "stack"])
def test_a_job_of_another_host_is_refused_with_its_command(
    pages: Pages, redis: redis_py.Redis, order: str
) -> None:
    register(redis, "web1:1:critical", job="Mail")
    about = {"order": order, "worker": "web1:1:critical"}
    if order == "kill":
        assert "child is missing" in post(pages, "/orders", 422, **about)["detail"]
    found = post(pages, "/orders", 409, **about, child=7)
    assert f"`resqued {order} web1:1:critical` on web1" in found["detail"]
    post(pages, "/orders", 404, **about | {"worker": "web1:2:critical"}, child=7)
    (action,) = get(pages, "/audit")["actions"]
    assert (action["action"], action["count"]) == (order, 0)


def test_a_master_of_another_host_is_refused_with_its_command(
    pages: Pages, client: resqued.Client
) -> None:
    MasterRecords(client.registry.link, Keys()).write(record(hidden_user="deploy"))
    found = post(pages, "/orders", 409, order="pause", master="web2:4711")
    assert "ssh web2 sudo -u deploy resqued pause --pid 4711" in found["detail"]
    post(pages, "/orders", 404, order="pause", master="web2:4712")
    for wrong in ({"order": "stop"}, {"order": ""}, {"order": "pause"}, {"order": 7}):
        post(pages, "/orders", 422, **wrong)
