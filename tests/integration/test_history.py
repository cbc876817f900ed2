"""The history in Redis: what workers and masters write, what is kept, what is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis as redis_py

import resqued
from resqued.config.loader import build
from resqued.core.history_layout import (
    DAY,
    HOUR,
    day_of,
    month_of,
    numbers,
    packed,
    readings,
)
from resqued.core.run_tally import RunTally
from resqued.errors import ArgumentError
from resqued.ipc.scoreboard import Scoreboard
from resqued.log import logger
from resqued.master.history_keeper import HistoryKeeper
from resqued.store.connection import SingleLink
from resqued.store.history_rollup import HistoryRollup
from resqued.store.history_writer import HistoryWriter
from resqued.store.registry import Registry
from resqued.store.tracked_values import TrackedValues
from resqued.wire.keys import Keys
from tests.support.pool import pool
from tests.support.wait import wait_until

pytestmark = pytest.mark.server_semantics

PREFIX = "resque:resqued:hist:"


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    link = SingleLink(redis_url)
    yield link
    link.close()


def tally_of(**runs: int) -> RunTally:
    """Count so many runs of each class, of 25 ms, in the queue `q`."""
    tally = RunTally()
    for name, number in runs.items():
        for _ in range(number):
            tally.count(name, "q", 25, has_failed=name == "Bad")
    return tally


def snapshot(redis: redis_py.Redis, pattern: str) -> dict[bytes, object]:
    """Return the values of the keys of a pattern."""
    return {
        key: redis.smembers(key) if redis.type(key) == b"set" else redis.get(key)
        for key in redis.keys(pattern)
    }


def fill(redis: redis_py.Redis, day_start: int, classes: int) -> None:
    """Write a day: each minute has a run of each class, and a waiting job."""
    name = day_of(day_start).name
    minutes = packed([1] * 1440)
    for scope in ("t", *(f"c:C{n:03}" for n in range(classes)), "q:q"):
        redis.set(f"{PREFIX}{name}:{scope}:done", minutes)
        if scope[0] == "c":
            redis.set(f"{PREFIX}{name}:{scope}:h", packed([1] * 24 * 26))
            redis.set(f"{PREFIX}{name}:{scope}:ms", packed([2**32 - 1] * 1440))
    redis.set(f"{PREFIX}{name}:q:q:wait", packed([3] * 1440))
    redis.sadd(f"{PREFIX}{name}:names", "q:q", *(f"c:C{n:03}" for n in range(classes)))


# Writing and reading


@pytest.mark.parametrize("by_hour", [False, True])
def test_runs_are_read_as_they_were_written(
    link: SingleLink, client: resqued.Client, by_hour: bool
) -> None:
    writer = HistoryWriter(link, Keys(), by_hour=by_hour)
    writer.add_runs(tally_of(Good=3, Bad=2))
    writer.add_runs(tally_of(Good=1))
    history = client.history
    for span in ("3d", "30d", "90d"):
        assert sum(filter(None, history.total("done", span).values)) == 6
        assert sum(filter(None, history.total("failed", span).values)) == 2
        assert sum(filter(None, history.total("ms", span).values)) == 150
        assert sum(filter(None, history.of_class("Good", "done", span).values)) == 4
        assert sum(filter(None, history.of_queue("q", "done", span).values)) == 6
    assert history.durations("Good", "30d") == (0, 4, *[0] * 24)
    assert history.names() == history.names("90d")
    assert history.names().classes == ("Bad", "Good")
    assert history.names().queues == ("q",)
    today = history.today()
    assert (today["Bad"].done, today["Bad"].failed) == (2, 2)
    assert (today["Good"].milliseconds, sum(today["Good"].buckets)) == (100, 4)


def test_minutes_are_read_in_all_short_ranges(
    link: SingleLink, client: resqued.Client
) -> None:
    HistoryWriter(link, Keys()).add_runs(tally_of(Good=5))
    sizes = {"1h": 60, "6h": 72, "24h": 96, "3d": 72, "30d": 120, "90d": 90}
    for span, size in sizes.items():
        points = client.history.total("done", span)
        assert len(points.values) == size
        assert sum(filter(None, points.values[-2:])) == 5, span
        assert points.start % points.step == 0
    assert len(client.history.total("done", "1h", 600).values) == 6
    assert client.history.durations("Good", "1h")[1] in (0, 5)
    assert client.history.durations("Good")[1] == 5


@pytest.mark.parametrize(("span", "step"), [("2h", None), ("1h", 7), ("30d", 60)])
def test_a_wrong_range_or_step_is_refused(
    client: resqued.Client, span: str, step: int | None
) -> None:
    with pytest.raises(ArgumentError):
        client.history.total("done", span, step)
    with pytest.raises(ArgumentError):
        client.history.of_queue("q", "busy")


def test_a_day_has_at_most_200_classes_and_the_rest_is_counted_together(
    link: SingleLink, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for page in range(3):
        names = {f"C{page * 100 + n:03}": 1 for n in range(100)}
        # Each worker has its own writer, which knows nothing of the others.
        HistoryWriter(link, Keys()).add_runs(tally_of(**names))
    names = client.history.names()
    assert len(names.classes) == 201
    assert "*" in names.classes
    assert sum(filter(None, client.history.of_class("*", "done").values)) == 100
    assert sum(filter(None, client.history.total("done").values)) == 300
    keys = redis.keys(f"{PREFIX}*")
    assert all(0 < redis.ttl(key) <= 3 * DAY for key in keys)


def test_counts_beyond_the_largest_number_stay_there(
    link: SingleLink, redis: redis_py.Redis, client: resqued.Client
) -> None:
    writer = HistoryWriter(link, Keys())
    now = int(redis.time()[0])
    for minute in (now, now + 60):
        day = day_of(minute)
        key = f"{PREFIX}{day.name}:t:done"
        redis.bitfield(key).set(
            "u32", f"#{day.place('done', minute)}", 2**32 - 2
        ).execute()
    writer.add_runs(tally_of(Good=5))
    assert 2**32 - 1 in client.history.total("done", "1h").values


# The part of the master


class Keeper:
    """The part of a master that keeps the history, turned by the test."""

    def __init__(self, url: str, name: str = "a", resolution: str = "minutes") -> None:
        self.link = SingleLink(url)
        config = build({"history": {"resolution": resolution}})
        registry = Registry(self.link, Keys())
        self.watched = TrackedValues(self.link, Keys())
        self.watched.is_watched = True
        log = logger.get()
        self.part = HistoryKeeper(lambda: config, registry, self.watched, name, log)
        self.now = 1000.0

    def steps(self) -> Iterator[None]:
        """Take the steps of one round, which is due."""
        self.now += 1000.0
        while self.part.due(self.now) <= self.now:
            self.part.turn(self.now)
            yield

    def close(self) -> None:
        self.link.close()


def test_one_master_reads_the_gauges_of_a_minute(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_to("high", "Job")
    client.enqueue_to("high", "Job")
    client.enqueue_to("low", "Job")
    redis.sadd("resque:queues", "empty")
    redis.sadd("resque:workers", "h:1:q", "h:2:q")
    redis.set("resque:worker:h:1:q", b"{}")
    keepers = [Keeper(redis_url, name) for name in "ab"]
    for keeper in keepers:
        for _ in keeper.steps():
            pass
        keeper.close()
    assert redis.get(f"{PREFIX}turn") == b"a"
    assert 0 < redis.ttl(f"{PREFIX}turn") <= 55
    history = client.history

    def last(value: str) -> int:
        return [v for v in history.total(value, "1h").values if v is not None][-1]

    assert (last("wait"), last("busy"), last("workers"), last("failures")) == (
        3,
        1,
        2,
        0,
    )
    assert last("redis") > 100
    assert history.names().queues == ("high", "low")
    assert {v for v in history.of_queue("high", "wait").values if v is not None} == {2}


def test_a_keeper_asks_once_a_minute_and_nothing_if_it_is_off(
    redis_url: str, redis: redis_py.Redis
) -> None:
    keeper, off = Keeper(redis_url), Keeper(redis_url, resolution="off")
    for _ in keeper.steps():
        pass
    assert 1 < keeper.part.due(keeper.now) - keeper.now <= 65
    before = redis.info("stats")["total_commands_processed"]
    assert list(off.steps()) == []
    assert redis.info("stats")["total_commands_processed"] == before + 1
    keeper.close()
    off.close()


class Worker(SimpleNamespace):
    """What the keeper knows of a worker."""

    def __init__(self) -> None:
        scoreboard = Scoreboard.create()
        super().__init__(is_gone=False, has_job=False, scoreboard=scoreboard)


def rounds_of(keeper: Keeper, redis: redis_py.Redis, minutes: int) -> int:
    """Return in how many of so many minutes a keeper sends commands."""
    rounds = 0
    for _ in range(minutes):
        # At most 65 s are between two turns.
        keeper.now += 65.0
        redis.delete(f"{PREFIX}turn")
        before = redis.info("stats")["total_commands_processed"]
        while keeper.part.due(keeper.now) <= keeper.now:
            keeper.part.turn(keeper.now)
        rounds += redis.info("stats")["total_commands_processed"] > before + 1
    return rounds


@pytest.mark.parametrize(
    ("event", "rounds"), [("run", 1), ("job", 9), ("watched", 9), ("nothing", 0)]
)
def test_a_master_that_sees_nothing_happen_sends_nothing_for_a_quarter_of_an_hour(
    redis_url: str, redis: redis_py.Redis, event: str, rounds: int
) -> None:
    keeper, worker = Keeper(redis_url), Worker()
    keeper.part.workers = lambda: [worker]
    keeper.watched.is_watched = False
    assert rounds_of(keeper, redis, 1) == 1
    assert rounds_of(keeper, redis, 4) == 0
    if event == "run":
        worker.scoreboard.count(1, 0)
    worker.has_job = event == "job"
    keeper.watched.is_watched = event == "watched"
    assert rounds_of(keeper, redis, 9) == rounds
    worker.has_job = keeper.watched.is_watched = False
    assert 1 <= rounds_of(keeper, redis, 15) <= 2
    keeper.close()


def test_a_master_makes_a_reading_each_minute_while_they_change(
    redis_url: str, redis: redis_py.Redis
) -> None:
    keeper = Keeper(redis_url)
    keeper.watched.is_watched = False
    rounds = []
    for number in range(20):
        redis.sadd("resque:workers", f"h:{number}:q")
        rounds.append(rounds_of(keeper, redis, 1))
    assert rounds == [1, *[0] * 13, *[1] * 6]
    assert rounds_of(keeper, redis, 14) == 1
    keeper.close()


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ({5: 3}, [3, 3, 3, 3, 3, 3]),
        ({5: 3, 2: 3}, [3, None, None, 3, 3, 3]),
        ({5: 3, 2: 4}, [3, None, None, 4, None, 3]),
        ({5: 4}, [4, None, None, None, None, 3]),
        ({}, [None, None, None, None, None, 3]),
    ],
)
def test_a_reading_is_that_of_the_quiet_minutes_before_it_if_it_is_the_same(
    link: SingleLink,
    before: dict[int, int],
    shown: list[int | None],
) -> None:
    writer, day = HistoryWriter(link, Keys()), day_of(link.time())
    now = day.start + 600.0
    for minutes, reading in before.items():
        at = now - 60 * minutes
        writer.set_readings(at, {"wait": reading}, {"high": reading})
    writer.set_readings(now, {"wait": 3}, {"high": 3}, quiet=300.0)
    for series in ("t:wait", "q:high:wait"):
        raw = link.call("GET", Keys().history(day.name, series))
        assert readings(numbers(raw, 11), "wait")[5:] == shown


def test_quiet_minutes_end_at_midnight(link: SingleLink) -> None:
    writer, day = HistoryWriter(link, Keys()), day_of(link.time())
    for at in (day.start - 120.0, day.start + 60.0):
        writer.set_readings(at, {"wait": 3}, {}, quiet=900.0)
    raw = link.call("GET", Keys().history(day.name, "t:wait"))
    assert readings(numbers(raw, 3), "wait") == [None, 3, None]


def test_a_server_that_refuses_is_asked_again_a_minute_later(
    redis_url: str, redis: redis_py.Redis
) -> None:
    redis.set(f"{PREFIX}{day_of(redis.time()[0]).name}:names", "of another type")
    keeper = Keeper(redis_url)
    list(keeper.steps())
    assert keeper.part.due(keeper.now) == keeper.now + 60
    keeper.close()


def test_a_master_that_dies_at_any_step_leaves_its_work_to_the_next(
    redis_url: str, redis: redis_py.Redis
) -> None:
    now = int(redis.time()[0]) - HOUR
    yesterday = day_of(now - DAY)
    month = month_of(yesterday.start)
    redis.sadd(f"{PREFIX}{month.name}:names", *(f"c:old{n}" for n in range(197)))
    fill(redis, yesterday.start, classes=5)
    empty = {key: redis.dump(key) for key in redis.keys("*")}
    results = []
    for death in count():
        redis.flushall()
        for key, value in empty.items():
            redis.restore(key, 0, value)
        first, second = Keeper(redis_url), Keeper(redis_url)
        taken = len(list(islice(first.steps(), death)))
        redis.delete(f"{PREFIX}turn")
        first.close()
        list(second.steps())
        second.close()
        results.append(snapshot(redis, f"{PREFIX}h:*"))
        if taken < death:
            break
    assert len(results) > 10
    assert all(result == results[0] for result in results)
    key = f"{PREFIX}{month.name}:"
    hour = month.place("done", yesterday.start) * 4
    # Three of five classes have room in the month.
    for scope, runs in (("t", 60), ("c:C000", 60), ("c:*", 120), ("q:q", 60)):
        found = results[0][f"{key}{scope}:done".encode()]
        assert isinstance(found, bytes)
        assert found[hour : hour + 96] == packed([runs] * 24)
    assert redis.sismember(f"{key}days", yesterday.name)
    assert 89 * DAY < redis.ttl(f"{key}t:done") <= 90 * DAY


def test_hours_are_read_where_the_minutes_have_expired(
    link: SingleLink, redis: redis_py.Redis, client: resqued.Client
) -> None:
    now = int(redis.time()[0])
    rollup = HistoryRollup(link, Keys())
    for back in (20, 4):
        day = day_of(now - back * DAY)
        fill(redis, day.start, classes=1)
        for _ in rollup.steps(day):
            pass
        redis.delete(*redis.keys(f"{PREFIX}{day.name}:*"))
    history = client.history
    assert sum(filter(None, history.total("done", "30d").values)) == 2880
    assert sum(filter(None, history.of_class("C000", "done", "90d").values)) == 2880
    spent = sum(filter(None, history.of_class("C000", "ms", "30d").values))
    assert spent == 2880 * (2**32 - 1), "an hour of them exceeds 32 bits"
    assert history.durations("C000", "30d") == (48,) * 26
    waits = history.of_queue("q", "wait", "30d").values
    assert {value for value in waits if value is not None} == {2}
    assert history.size().keys > 5
    assert history.size().size > 5000


def test_days_are_summed_once(link: SingleLink, redis: redis_py.Redis) -> None:
    rollup = HistoryRollup(link, Keys())
    # An hour after the midnight, so that no worker still writes to the day before.
    now = day_of(redis.time()[0]).start + HOUR
    days = rollup.due_days(now)
    assert [day.start for day in days] == [now - HOUR - n * DAY for n in (3, 2, 1)]
    assert [day.start for day in rollup.due_days(now - 1)][-1] == now - HOUR - 2 * DAY
    for _ in rollup.steps(days[1]):
        pass
    assert rollup.due_days(now) == [days[0], days[2]]


# Workers


def commands(redis: redis_py.Redis, name: str) -> int:
    return int(redis.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_a_worker_writes_its_runs_with_the_heartbeat_and_none_while_idle(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client, tmp_path: Path
) -> None:
    config = '[worker]\nheartbeat = "0.2s"\n[history]\nresolution = "minutes"\n'
    with pool(redis_url, tmp_path, config=config):
        for job in ("Noop", "Noop", "Fail"):
            client.enqueue_to("default", job)
        wait_until(lambda: client.history.today().get("Fail"))
        wait_until(lambda: client.history.today()["Noop"].done == 2)
        found = client.history.today()
        assert (found["Fail"].done, found["Fail"].failed) == (1, 1)
        assert sum(found["Noop"].buckets) == 2
        written = [commands(redis, name) for name in ("bitfield", "expire")]
        beats = commands(redis, "setnx")
        wait_until(lambda: commands(redis, "setnx") > beats + 3)
        assert written == [commands(redis, name) for name in ("bitfield", "expire")]


def test_a_worker_writes_its_runs_when_it_leaves(
    redis_url: str, client: resqued.Client, tmp_path: Path
) -> None:
    client.enqueue_to("default", "Noop")
    with pool(redis_url, tmp_path, "--burst") as daemon:
        daemon.wait()
    assert client.history.today()["Noop"].done == 1
    assert sum(filter(None, client.history.of_queue("default", "done").values)) == 1


def test_nothing_is_written_if_the_configuration_turns_it_off(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client, tmp_path: Path
) -> None:
    client.enqueue_to("default", "Noop")
    config = '[history]\nresolution = "off"\n'
    with pool(redis_url, tmp_path, "--burst", config=config) as daemon:
        daemon.wait()
    assert redis.get("resque:stat:processed") == b"1"
    assert redis.keys(f"{PREFIX}*") == []


def test_a_server_that_refuses_the_history_stops_no_worker(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client, tmp_path: Path
) -> None:
    now = redis.time()[0]
    for day in (day_of(now), day_of(now + DAY)):
        redis.set(f"{PREFIX}{day.name}:names", "of another type")
    config = '[worker]\nheartbeat = "0.2s"\n'
    with pool(redis_url, tmp_path, config=config) as daemon:
        client.enqueue_to("default", "Noop")
        daemon.wait_for_event("history_refused")
        client.enqueue_to("default", "Noop")
        wait_until(lambda: redis.get("resque:stat:processed") == b"2")
    assert client.workers() == []
