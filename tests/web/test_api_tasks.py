"""The JSON API of groups, of tasks on all failures of a filter, and of history."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis as redis_py

from tests.support.cli import add_failure
from tests.support.every_key import key
from tests.support.pages import Open, Pages
from tests.support.route_samples import API
from tests.support.wait import wait_until
from tests.web.test_api import check_answer, get, post


def ended(pages: Pages, task_id: str) -> dict[str, Any]:
    """Return a task once it has ended."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = get(pages, f"/tasks/{task_id}")
        return found if found["ended"] else None

    return wait_until(look, what="the end of the task")


def test_all_failures_of_a_group_are_retried_up_to_what_was_seen(
    pages: Pages, redis: redis_py.Redis
) -> None:
    for number in range(30):
        add_failure(redis, number)
    wait_until(lambda: get(pages, "/groups")["exact"], what="the counts")
    seen = get(pages, "/groups")
    (group,) = seen["groups"]
    assert (group["count"], seen["total"], seen["next"]) == (30, 1, None)
    listed = get(pages, f"/failures?group={group['filter']['group']}&limit=200")
    assert len(listed["failures"]) == 30
    assert listed["up_to"] == seen["up_to"]
    # What fails between the look and the order is not touched.
    add_failure(redis, 30)
    found = pages.client.post(
        f"{API}/failures/retry",
        json={
            "filter": group["filter"],
            "up_to": seen["up_to"],
            "remove": True,
            "rate": 0,
        },
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert found.status_code == 202, found.text
    check_answer("POST", f"{API}/failures/retry", found)
    assert found.headers["Location"] == f"{API}/tasks/{json.loads(found.text)['id']}"
    task = ended(pages, json.loads(found.text)["id"])
    assert (task["state"], task["done"], task["orders"]) == ("done", 30, [])
    assert redis.llen(key("failed")) == 1
    assert redis.llen(key("queue:mail")) == 30
    assert get(pages, "/tasks")["tasks"] == [task]
    assert "task" in get(pages, "/audit")["actions"][0]["target"]


def test_a_task_is_paused_and_stopped(pages: Pages, redis: redis_py.Redis) -> None:
    for number in range(300):
        add_failure(redis, number)
    up_to = get(pages, "/failures")["up_to"]
    order = {"filter": {"retried": False}, "up_to": up_to, "rate": 20}
    task = post(pages, "/failures/retry", 202, **order)
    assert task["rate"] == 20
    assert set(task["orders"]) == {"pause", "stop"}
    post(pages, "/tasks/order", 409, id=task["id"], order="go_on")
    post(pages, "/tasks/order", id=task["id"], order="stop")
    assert ended(pages, task["id"])["state"] == "stopped"
    post(pages, "/tasks/order", 409, id=task["id"], order="stop")
    post(pages, "/tasks/order", 404, id="nothing", order="stop")
    post(pages, "/tasks/order", 422, id=task["id"], order="begin")
    get(pages, "/tasks/order", 404)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"filter": {}}, "up_to is missing"),
        ({"filter": {}, "up_to": {}}, "up_to is missing"),
        ({"filter": {}, "up_to": {"failed": 3}}, "up_to is missing"),
        ({"filter": {}, "up_to": {"failed": "x"}}, "no place in the list"),
        ({"filter": {}, "up_to": {"fialed": "1"}}, "no list 'fialed'"),
        ({"filter": {"clas": "Mail"}, "up_to": {"failed": "1"}}, "no condition 'clas'"),
        ({"filter": {"class": 7}, "up_to": {"failed": "1"}}, "class is no text"),
        ({"filter": {"class": "x" * 501}, "up_to": {"failed": "1"}}, "is no text"),
        ({"filter": {"from": "soon"}, "up_to": {"failed": "1"}}, "'soon' is no time"),
        ({"filter": {"retried": "yes"}, "up_to": {"failed": "1"}}, "none of true"),
        ({"filter": {}, "up_to": {"failed": "1"}, "rate": -1}, "rate is no number"),
        ({"filter": {}, "up_to": {"failed": "1"}, "rate": 10**30}, "rate is no"),
        ({"filter": {}, "up_to": {"failed": "1"}, "rate": True}, "whole number"),
        ({"filter": {}, "up_to": {"failed": "1"}, "ids": ["x"]}, "ids is for single"),
        ({"filter": [], "up_to": {"failed": "1"}}, "filter is no object"),
        ({"up_to": {"failed": "1"}}, "ids is missing"),
    ],
)
def test_a_filter_that_makes_no_sense_changes_nothing(
    pages: Pages, redis: redis_py.Redis, body: dict[str, Any], detail: str
) -> None:
    add_failure(redis, 1)
    for path in ("/failures/retry", "/failures/remove"):
        assert detail in post(pages, path, 422, **body)["detail"]
    assert redis.llen(key("failed")) == 1
    assert not redis.exists(key("queue:mail"), key("resqued:web:tasks"))


def test_read_only_pages_pass_no_order_to_a_task(
    open_pages: Open, pages: Pages, redis: redis_py.Redis
) -> None:
    add_failure(redis, 1)
    up_to = get(pages, "/failures")["up_to"]
    task = post(pages, "/failures/remove", 202, filter={}, up_to=up_to)
    shown = open_pages(read_only=True)
    assert get(shown, f"/tasks/{task['id']}")["orders"] == []
    post(shown, "/tasks/order", 403, id=task["id"], order="stop")
    assert ended(pages, task["id"])["done"] == 1


def test_a_series_begins_where_it_is_asked_to(pages: Pages) -> None:
    now = int(time.time())
    found = get(pages, f"/history?series=done&from={now - 1800}&step=60")
    assert found["range"] == "1h"
    assert now - 1800 - 60 < found["start"] <= now - 1800
    assert 30 <= len(found["values"]) <= 32
    assert get(pages, f"/history?series=done&from={now - 86_500}")["range"] == "3d"
    for wrong in (f"{now + 600}", "1", "-1", "x", f"{now - 60}&range=1h", "9" * 12):
        get(pages, f"/history?series=done&from={wrong}", 422)
