"""Delayed jobs, retries that wait, recurring jobs, and the quarantine."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.store.delayed_pages import DelayedPages
from resqued.store.job_identity import identity_of
from resqued.store.recurring import RecurringJobs
from resqued.wire.keys import Keys
from tests.support.pages import Open, Pages

FUTURE = 4_000_000_000


def delay(client: resqued.Client, when: int, *args: Any, queue: str = "mail") -> None:
    at = datetime.fromtimestamp(when, UTC)
    client.enqueue_at_with_queue(queue, at, "Archive", *args)


def tokens(html: str) -> list[str]:
    return [part.split('"')[0] for part in html.split('name="id" value="')[1:]]


def hrefs(html: str, mark: str) -> str:
    return html.partition(f'{mark}href="')[2].partition('"')[0].replace("&amp;", "&")


def tabs_of(html: str) -> str:
    return html.partition('class="tabs"')[2].partition("</nav>")[0]


# Delayed


def test_tabs_are_there_only_with_their_keys(
    pages: Pages, client: resqued.Client, open_pages: Open
) -> None:
    shown = tabs_of(pages.get("/overview").text)
    assert not [t for t in ("Delayed", "Retry", "Schedule", "Quarantine") if t in shown]
    delay(client, FUTURE, 1)
    shown = tabs_of(open_pages().get("/overview").text)
    assert "Delayed" in shown
    assert "Quarantine" not in shown
    assert "Quarantine" in tabs_of(pages.get("/quarantine").text)


def test_tabs_cost_no_command_per_request(pages: Pages, redis: redis_py.Redis) -> None:
    redis.config_resetstat()
    for _ in range(10):
        pages.get("/stats.txt")
        pages.get("/stats/resque")
    assert redis.info("commandstats").get("cmdstat_zcard", {}).get("calls", 0) <= 4


def test_delayed_jobs_come_in_the_order_of_their_times(
    pages: Pages, client: resqued.Client
) -> None:
    for n in range(120):
        delay(client, FUTURE + n // 3, n)
    path, seen, count = "/delayed", [], 0
    while path:
        html = pages.get(path).text
        seen += tokens(html)
        path = hrefs(html, 'rel="next" ')
        count += 1
    assert count == 3
    assert len(seen) == len(set(seen)) == 120
    assert [float(one.split(":")[0]) for one in seen] == sorted(
        float(one.split(":")[0]) for one in seen
    )


def test_one_time_has_a_page(pages: Pages, client: resqued.Client) -> None:
    for n in range(60):
        delay(client, FUTURE, n)
    delay(client, FUTURE + 1, "other")
    assert "60 jobs are due" in pages.text(f"/delayed/{FUTURE}")
    assert "59" in pages.text(f"/delayed/{FUTURE}?start=50")
    assert "no job is due" in pages.get("/delayed/7", 404).text


def test_days_count_jobs(pages: Pages, client: resqued.Client) -> None:
    day = int(time.time()) // 86400 * 86400
    for n in range(3):
        delay(client, day + 86400 + 5, n)
    delay(client, day + 2 * 86400, "next")
    html = pages.get("/delayed?part=days").text
    assert f"from={day + 86400}" in html
    counts = [part.split("</a>")[0] for part in html.split('">')[1:] if "</a>" in part]
    assert counts[1:3] == ["3", "1"]


def test_a_million_times_cost_as_much_as_one(
    client: resqued.Client, redis: redis_py.Redis
) -> None:
    """Shown by commands: the page of the middle reads nothing of what is before."""
    pipe = redis.pipeline()
    for n in range(2_000):
        time_ = FUTURE + n
        pipe.zadd("resque:delayed_queue_schedule", {str(time_): time_})
        pipe.rpush(f"resque:delayed:{time_}", '{"class":"A","args":[],"queue":"q"}')
    pipe.execute()
    found = DelayedPages(client.registry.link, Keys())
    redis.config_resetstat()
    page = found.page(str(FUTURE + 1_500), 0, 50)
    assert page.jobs[0].job.time == str(FUTURE + 1_500)
    assert page.next_time == str(FUTURE + 1_550)
    stats = redis.info("commandstats")
    assert stats["cmdstat_llen"]["calls"] <= 51
    assert stats["cmdstat_lrange"]["calls"] <= 51


def test_a_job_is_enqueued_now_or_cancelled(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    for n in range(4):
        delay(client, FUTURE, n)
    ids = tokens(pages.get("/delayed").text)
    pages.post("/delayed/act", one=f"run {ids[1]}")
    assert [job["args"] for job in client.peek("mail", 0, 9)] == [[1]]
    # The others have moved up; they are found all the same.
    found = pages.post("/delayed/act", action="cancel", id=[ids[3], ids[1]])
    assert found.location == "/delayed"
    assert "cancelled 1 delayed job; 1 job had gone" in pages.get("/delayed").text
    assert [job.args for job in client.delayed] == [(0,), (2,)]
    actions = [fields[b"action"] for _, fields in redis.xrange("resque:resqued:audit")]
    assert len(actions) == 2
    assert not redis.exists("resque:queue:failed")


@pytest.mark.parametrize(
    "token", ["", "x", "1:x:y", "1:99999999999:y", "\n:0:0", "a:0:"]
)
def test_odd_tokens_name_nothing(
    pages: Pages, client: resqued.Client, token: str
) -> None:
    delay(client, FUTURE, 1)
    pages.post("/delayed/act", action="run", id=[token])
    assert len(list(client.delayed)) == 1
    pages.post("/delayed/act", 400, action="explode", id=[token])


def test_items_that_are_no_jobs_are_shown(pages: Pages, redis: redis_py.Redis) -> None:
    redis.zadd("resque:delayed_queue_schedule", {"inf": float("inf"), "odd": 5})
    redis.rpush("resque:delayed:inf", b"\xff<b>")
    redis.set("resque:delayed:odd", "no list")
    text = pages.text("/delayed")
    assert "not a job" in text
    assert "\\xff<b>" in text
    (token,) = tokens(pages.get("/delayed").text)
    pages.post("/delayed/act", one=f"run {token}")
    pages.post("/delayed/act", one=f"cancel {token}")
    assert not redis.exists("resque:delayed:inf")


def test_clearing_asks_first(pages: Pages, client: resqued.Client) -> None:
    for n in range(3):
        delay(client, FUTURE + n, n)
    assert "3 times" in pages.text("/delayed/clear")
    assert len(list(client.delayed)) == 3
    pages.post("/delayed/clear")
    assert not list(client.delayed)
    assert "cancelled 3 delayed jobs" in pages.get("/delayed").text


def test_viewers_see_and_do_not_act(open_pages: Open, client: resqued.Client) -> None:
    delay(client, FUTURE, "secret")
    viewer = {"viewer": ("*",)}
    pages = open_pages(auth="proxy", trusted_proxies=("127.0.0.1",), roles=viewer)
    headers = {"X-Remote-User": "anna"}
    shown = pages.get("/delayed", headers=headers).text
    assert "Archive" in shown
    assert "secret" not in shown
    assert "<button name" not in shown
    headers["Sec-Fetch-Site"] = "same-origin"
    for path in ("delayed/act", "delayed/clear", "schedule/act", "retry/act"):
        assert pages.client.post(f"/{path}", headers=headers).status_code == 403


# Retries


def test_a_retry_that_waits_shows_the_error_before(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    delay(client, FUTURE, [1])
    delay(client, FUTURE + 1, 2)
    identity = identity_of(b'{"class":"Archive","args":[[1]]}')
    entry = {"exception": "TimeoutError", "error": "no answer", "worker": "web1:1:mail"}
    redis.set(f"resque:resque-retry:{identity}", 1)
    redis.set(f"resque:failure-resque-retry:{identity}", json.dumps(entry))
    text = pages.text("/retry")
    assert "TimeoutError no answer" in text
    (token,) = tokens(pages.get("/retry").text)
    pages.post("/retry/act", one=f"cancel {token}")
    assert not redis.exists(f"resque:resque-retry:{identity}")
    assert [job.args for job in client.delayed] == [(2,)]
    assert "No job waits for another attempt" in pages.text("/retry")
    pages.post("/retry/act", 400, one=f"explode {token}")
    # A delayed job that is no retry is not touched from here.
    token = tokens(pages.get("/delayed").text)[0]
    pages.post("/retry/act", one=f"run {token}")
    assert [job.args for job in client.delayed] == [(2,)]


# Recurring jobs


@pytest.fixture
def recurring(client: resqued.Client) -> RecurringJobs:
    jobs = RecurringJobs(client.registry.link, Keys())
    nightly = {"class_name": "Sweep", "queue": "low", "args": [7], "every": 60.0}
    jobs.register({"nightly": json.dumps(nightly)}, int(time.time()))
    return jobs


def pressed(html: str, action: str) -> str:
    return f"{action} " + html.partition(f'value="{action} ')[2].partition('"')[0]


def test_recurring_jobs_are_enqueued_switched_off_and_on(
    pages: Pages, client: resqued.Client, recurring: RecurringJobs
) -> None:
    text = pages.text("/schedule")
    assert "nightly enabled every 1m" in text
    html = pages.get("/schedule").text
    pages.post("/schedule/act", one=pressed(html, "run"))
    assert client.peek("low", 0, 1)[0]["args"] == [7]
    pages.post("/schedule/act", one=pressed(html, "disable"))
    assert not recurring.states()["nightly"].is_enabled
    html = pages.get("/schedule").text
    assert "disabled" in html
    pages.post("/schedule/act", one=pressed(html, "enable"))
    assert recurring.states()["nightly"].is_enabled
    pages.post("/schedule/act", 404, one="run bm9uZQ==")
    pages.post("/schedule/act", 400, one="run QQ")


def test_a_dynamic_schedule_of_ruby_is_shown_and_removed(
    pages: Pages, redis: redis_py.Redis
) -> None:
    value = {"class": "Clean", "queue": "low", "cron": "5 4 * * *"}
    redis.hset(
        "resque:persistent_schedules",
        mapping={"cl\n<b>": json.dumps(value), "bad": "{"},
    )
    text = pages.text("/schedule")
    assert "dynamic" in text
    assert "not published 5 4 * * *" in text
    assert "cannot be read" in text
    html = pages.get("/schedule").text
    pages.post("/schedule/act", one=pressed(html.partition("Clean")[2], "remove"))
    assert list(redis.hgetall("resque:persistent_schedules")) == [b"bad"]
    assert redis.smembers("resque:schedules_changed") == {b"cl\n<b>"}


def test_definitions_that_cannot_be_read_do_no_harm(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.hset("resque:resqued:schedules", mapping={"x": "[", "y": '{"every": "z"}'})
    assert "cannot be read" in pages.text("/schedule")


# Quarantine


def quarantine(redis: redis_py.Redis, n: int) -> None:
    failure = {
        "payload": {"class": "Resize", "args": [n]},
        "exception": "SIGKILL",
        "error": "killed",
        "queue": "images",
        "backtrace": ["line 1"],
    }
    deaths = [{"died_at": "2026-11-01", "worker": "web1:1:images", "error": "killed"}]
    entry = {"quarantined_at": 1_700_000_000 + n, "failure": failure, "deaths": deaths}
    redis.rpush("resque:resqued:quarantine", json.dumps(entry))


def test_jobs_in_quarantine_are_released_and_removed(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for n in range(3):
        quarantine(redis, n)
    redis.rpush("resque:resqued:quarantine", b"\xffodd")
    html = pages.get("/quarantine").text
    odd, last, second, first = tokens(html)
    shown = pages.text(f"/quarantine/{last}")
    assert "web1:1:images" in shown
    assert "line 1" in shown
    assert "\\xffodd" in pages.text(f"/quarantine/{odd}")
    pages.post("/quarantine/release", id=[last, first])
    assert [job["args"] for job in client.peek("images", 0, 9)] == [[0], [2]]
    pages.post("/quarantine/release", id=[odd])
    pages.post("/quarantine/remove", id=[odd, second, "none"])
    assert "removed 2 quarantined jobs; 1 job had gone" in pages.get("/overview").text
    assert not redis.exists("resque:resqued:quarantine")
    assert "not in quarantine" in pages.get(f"/quarantine/{last}", 404).text
