"""Names and values that would be markup, on pages of statistics and waiting jobs."""

from __future__ import annotations

import json
import time

import html5lib
import pytest
import redis as redis_py

import resqued
from resqued.core.run_tally import RunTally
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.store.master_records import MasterRecords
from resqued.wire.keys import Keys
from resqued.wire.master_record import MasterRecord, RecordedPool, RecordedReload
from tests.support.pages import Pages

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e'javascript:"
PATHS = (
    *("/stats/resque", "/stats/redis", "/stats/keys", "/masters", "/delayed", "/retry"),
    *(
        "/schedule",
        "/quarantine",
        "/charts",
        "/about",
        "/enqueue",
        "/stats/resque.poll",
    ),
)


@pytest.fixture
def hostile(redis: redis_py.Redis, client: resqued.Client) -> redis_py.Redis:
    """A database in which all names and texts would be markup."""
    job = json.dumps({"class": EVIL, "args": [EVIL], "queue": EVIL})
    redis.zadd("resque:delayed_queue_schedule", {"4000000000": 4e9, EVIL: 5})
    redis.rpush("resque:delayed:4000000000", job, EVIL)
    redis.rpush(f"resque:delayed:{EVIL}", job)
    redis.hset("resque:persistent_schedules", EVIL, json.dumps({"cron": EVIL}))
    definition = {"class_name": EVIL, "queue": EVIL, "args": [EVIL], "every": 9.0}
    redis.hset("resque:resqued:schedules", EVIL, json.dumps(definition))
    redis.hset("resque:delayed:last_enqueued_at", EVIL, EVIL)
    failure = {"payload": {"class": EVIL, "args": [EVIL]}, "queue": EVIL, "error": EVIL}
    death = {"died_at": EVIL, "worker": EVIL, "error": EVIL, "exception": EVIL}
    entry = {"quarantined_at": time.time(), "failure": failure, "deaths": [death]}
    redis.rpush("resque:resqued:quarantine", json.dumps(entry), EVIL)
    redis.hset("resque:resqued:jobs", EVIL, json.dumps({"parameters": [EVIL]}))
    redis.sadd("resque:queues", EVIL)
    redis.rpush(f"resque:queue:{EVIL}", job)
    pool = RecordedPool(name=EVIL, queues=(EVIL,), wanted=1, live=0)
    MasterRecords(client.registry.link, Keys()).write(
        MasterRecord(
            id=f"{EVIL}:1",
            host=EVIL,
            pid=1,
            version=EVIL,
            since=1e300,
            at=1.0,
            state=EVIL,
            is_paused=False,
            generation=1,
            last_reload=RecordedReload(at=float("1e99"), outcome=EVIL, error=EVIL),
            pools=(pool,),
            hidden_user=EVIL,
        )
    )
    link, tally = SingleLink(client.url), RunTally()
    tally.count(EVIL, EVIL, 40, has_failed=True)
    HistoryWriter(link, Keys()).add_runs(tally)
    link.close()
    return redis


def check(pages: Pages, path: str) -> list[str]:
    """Fail if a page holds markup that is not ours; return its links to our pages."""
    found = pages.get(path)
    tree = html5lib.parse(found.text, namespaceHTMLElements=False)
    assert tree.find(".//img") is None, path
    assert all(one.get("src") and not one.text for one in tree.iter("script")), path
    assert not [
        (one.tag, name)
        for one in tree.iter()
        for name in one.attrib
        if name.startswith("on") or name == "style"
    ], path
    assert "\u202e" not in found.text, path
    links = [one.get("href", "") for one in tree.iter("a")]
    assert all(link.startswith(("/", "#")) for link in links), path
    return [link for link in links if link.startswith("/")]


def test_no_value_becomes_markup(pages: Pages, hostile: redis_py.Redis) -> None:
    todo, seen = list(PATHS), set()
    ours = ("/stats/keys/", "/masters/", "/delayed/", "/quarantine/", "/charts")
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += [link for link in check(pages, path) if link.startswith(ours)]
    assert len(seen) > 30


def test_a_look_changes_nothing_but_the_watch(
    pages: Pages, hostile: redis_py.Redis
) -> None:
    before = {key: hostile.dump(key) for key in hostile.keys("*")}
    for path in PATHS:
        pages.get(path)
    assert {key: hostile.dump(key) for key in hostile.keys("*")} == before
