"""Rates, trends and lines of the last hour on the overview and the pages of queues."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import redis as redis_py

import resqued
from resqued.core.history_layout import GAUGES, day_of, packed
from resqued.wire import master_record
from resqued.wire.keys import Keys
from tests.support.master_records import write_master
from tests.support.pages import Open, Pages

KEYS = Keys()


def write(redis: redis_py.Redis, series: str, values: Sequence[int]) -> None:
    """Write the numbers of the last minutes of a series; the last is of now."""
    now = redis.time()[0]
    scope_value = series.rpartition(":")[2]
    for ago, number in enumerate(reversed(values)):
        day = day_of(now - 60 * ago)
        at = day.place(scope_value, now - 60 * ago)
        stored = number + (scope_value in GAUGES)
        redis.setrange(KEYS.history(day.name, series), 4 * at, packed([stored]))


def getranges(redis: redis_py.Redis) -> int:
    found = redis.info("commandstats").get("cmdstat_getrange", {"calls": 0})
    return int(found["calls"])


@pytest.fixture
def mail(client: resqued.Client, redis: redis_py.Redis) -> resqued.Client:
    """A namespace with 100 jobs in the queue mail, and a worker."""
    redis.sadd(KEYS.workers, "web1:1:mail")
    redis.hset(KEYS.heartbeats, "web1:1:mail", "2999-01-01T00:00:00Z")
    client.enqueue_many([("Mail",)] * 100, queue="mail")
    return client


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        (range(0, 2_000, 100), "grows by 100/min"),
        (range(1_100, 100, -50), "drains in ~2 min"),
        ([100] * 20, "~2 min at this rate"),
        ([80, 99, 70, 120] * 5, "~2 min at this rate"),
    ],
)
def test_a_queue_grows_or_drains(
    pages: Pages,
    mail: resqued.Client,
    redis: redis_py.Redis,
    waits: Sequence[int],
    words: str,
) -> None:
    for scope in ("t", "q:mail"):
        write(redis, f"{scope}:wait", waits)
        write(redis, f"{scope}:done", [60] * 20)
    write(redis, "t:failed", [3] * 20)
    text = pages.text("/overview")
    assert text.count(words) == 2  # of all queues, and of mail
    assert "60/min" in text
    assert "3 failed/min" in text
    assert "mail 100 0 1 60" in pages.text("/queues")
    assert words in pages.text("/queues")
    assert words in pages.text("/queues/mail")
    label = f"waiting in the last hour, at most {max(waits):,}"
    assert f'aria-label="{label}"' in pages.get("/queues").text
    assert "No history" not in text
    assert "no history" not in text


@pytest.mark.parametrize("readings", [1, 3])
def test_of_little_history_nothing_is_guessed(
    pages: Pages, mail: resqued.Client, redis: redis_py.Redis, readings: int
) -> None:
    for scope in ("t", "q:mail"):
        write(redis, f"{scope}:wait", [10**4, 10**3, 100][:readings])
        write(redis, f"{scope}:done", [900] * readings)
    for path in ("/overview", "/queues", "/queues/mail"):
        text = pages.text(path)
        assert "/min" not in text.replace("Ended/min", "")
        assert "drains" not in text
        assert "no history" not in text


def test_of_a_queue_that_nobody_works_on_no_end_is_guessed(
    pages: Pages, mail: resqued.Client, redis: redis_py.Redis
) -> None:
    write(redis, "q:mail:wait", [100] * 20)
    write(redis, "q:mail:done", [60] * 20)
    mail.pause_queue("mail")
    for path in ("/overview", "/queues", "/queues/mail"):
        assert "at this rate" not in pages.text(path)


def test_without_a_history_a_line_leads_to_how_to_switch_it_on(
    pages: Pages, mail: resqued.Client
) -> None:
    for path in ("/overview", "/queues"):
        assert "no history was kept in the last hour" in pages.text(path)
        assert "/min" not in pages.text(path).replace("Ended/min", "")
    assert 'resolution = "minutes"' in pages.text("/charts")


def test_many_tabs_read_the_history_once_and_other_parts_do_not(
    pages: Pages, mail: resqued.Client, redis: redis_py.Redis
) -> None:
    # The record of a worker is read with GETRANGE as well.
    redis.delete(KEYS.workers)
    redis.config_resetstat()
    for part in ("running", "failures"):
        pages.get(f"/overview?part={part}")
    assert getranges(redis) == 0
    for path in ("/overview", "/queues", "/queues/mail"):
        pages.get(path)
    once = getranges(redis)
    assert once
    began = time.monotonic()
    for _ in range(50):
        pages.get("/overview?part=figures")
        pages.get("/overview?part=queues")
        pages.get("/queues?part=table")
        pages.get("/queues/mail?part=state")
    # What is read counts for ten seconds; a slow machine takes longer for the looks.
    turns = (time.monotonic() - began) // 10
    assert getranges(redis) - once <= (turns + 0.2) * once


def test_masters_have_a_line_and_those_in_trouble_a_banner(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    assert "Masters" not in open_pages().text("/overview")
    failed = master_record.RecordedReload(
        at=1, outcome="failed", error="ImportError: no <taxes>"
    )
    write_master(redis, "web1")
    write_master(redis, "web2", last_reload=failed)
    write_master(redis, "web3", state="stopping")
    pages = open_pages()
    text = pages.text("/overview")
    assert "web1:9 running" in text
    assert "web2:9 running reload failed" in text
    html = pages.get("/queues").text
    assert "ImportError: no &lt;taxes&gt;" in html
    assert ">web3:<wbr>9</a> is stopping." in html
    assert "web1:9" not in html


def test_tasks_and_the_audit_are_linked(pages: Pages) -> None:
    html = pages.get("/stats/resque").text
    for path in ("/tasks", "/audit"):
        assert f'<a href="{path}">' in html
        assert 'aria-current="page">Stats' in pages.get(path).text
