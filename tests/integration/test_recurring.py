"""Recurring jobs in Redis: each tick once, however many masters see that it is due."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest
import redis as redis_py

import resqued
from resqued.log import logger
from resqued.scheduler.enqueuer import ScheduleEnqueuer
from resqued.scheduler.schedule import Schedule
from resqued.store.connection import SingleLink
from resqued.store.recurring import RecurringJobs
from resqued.wire.keys import Keys

pytestmark = pytest.mark.server_semantics

LAST = "resque:resqued:schedules:last"
HOURLY = Schedule("hourly", "Job", "q", args=(1,), every=3600.0)


class Master:
    """The part of a master that enqueues recurring jobs, turned by the test."""

    def __init__(self, url: str, *schedules: Schedule, is_dynamic: bool = False):
        self.link = SingleLink(url)
        self.schedules = schedules
        self.part = ScheduleEnqueuer(
            self.link,
            Keys(),
            lambda: self.schedules,
            logger.get(),
            is_dynamic=lambda: is_dynamic,
        )
        self.now = 1000.0

    def look(self) -> None:
        """Look at once, as after the longest wait."""
        self.now += 1000.0
        self.part.turn(self.now)

    def close(self) -> None:
        self.link.close()


def rewind(redis: redis_py.Redis, name: str, seconds: int) -> None:
    """Have the last tick of a schedule be so long ago."""
    redis.hset(LAST, name, redis.time()[0] - seconds)


def test_a_tick_is_enqueued_by_one_of_several_masters(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    masters = [Master(redis_url, HOURLY) for _ in range(3)]
    for turn in range(1, 4):
        for master in masters:
            master.look()
        assert client.size("q") == turn - 1
        rewind(redis, "hourly", 7_200)
        for master in masters:
            master.look()
        assert client.size("q") == turn
    assert client.peek("q", 0, 9) == [{"class": "Job", "args": [1]}] * 3
    assert client.queues() == ["q"]
    assert redis.hget("resque:delayed:last_enqueued_at", "hourly")
    for master in masters:
        master.close()


def test_a_new_schedule_and_one_that_was_changed_begin_now(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    with closing(Master(redis_url, HOURLY)) as master:
        master.look()
        rewind(redis, "hourly", 7_200)
        master.schedules = (Schedule("hourly", "Job", "q", every=1800.0),)
        master.look()
        assert client.size("q") == 0
        rewind(redis, "hourly", 7_200)
        master.look()
        assert client.size("q") == 1
        # A master that starts finds what it knows.
        rewind(redis, "hourly", 7_200)
    with closing(Master(redis_url, *master.schedules)) as later:
        later.look()
        assert client.size("q") == 2


def test_one_that_waits_or_runs_is_not_enqueued_again(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    schedule = Schedule("s", "Job", "q", args=(1,), every=3600.0, overlap=False)
    with closing(Master(redis_url, schedule)) as master:
        for size in (1, 1):
            master.look()
            rewind(redis, "s", 7_200)
            master.look()
            assert client.size("q") == size
        redis.delete("resque:queue:q")
        redis.sadd("resque:workers", "h:1:q")
        record = '{"queue":"q","run_at":"x","payload":{"class":"Job","args":[1]}}'
        redis.set("resque:worker:h:1:q", record)
        rewind(redis, "s", 7_200)
        master.look()
        assert client.size("q") == 0
        redis.delete("resque:worker:h:1:q")
        rewind(redis, "s", 7_200)
        master.look()
        assert client.size("q") == 1


def test_a_disabled_one_is_not_enqueued_and_goes_on_with_the_next_tick(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    jobs = RecurringJobs(SingleLink(redis_url), Keys())
    with closing(Master(redis_url, HOURLY)) as master:
        master.look()
        assert jobs.disable("hourly")
        rewind(redis, "hourly", 7_200)
        master.look()
        assert client.size("q") == 0
        assert not jobs.states()["hourly"].is_enabled
        assert jobs.enable("hourly")
        master.look()
        assert client.size("q") == 0
        rewind(redis, "hourly", 7_200)
        master.look()
        assert client.size("q") == 1


def test_dynamic_schedules_of_resque_scheduler_come_and_go(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    with closing(Master(redis_url, is_dynamic=True)) as master:
        master.look()
        redis.hset(
            "resque:persistent_schedules",
            mapping={
                "tick": '{"class":"Ok","every":"1h","queue":"low"}',
                "bad": "nonsense",
            },
        )
        master.look()
        rewind(redis, "tick", 7_200)
        master.look()
        assert client.peek("low", 0, 9) == [{"class": "Ok", "args": []}]
        redis.hdel("resque:persistent_schedules", "tick")
        rewind(redis, "tick", 7_200)
        master.look()
        assert client.size("low") == 1


def test_without_schedules_nothing_is_asked(redis_url: str) -> None:
    with closing(Master(redis_url)) as master:
        master.look()
        assert master.link.fileno() is None
        assert master.part.due(0.0) == float("inf")


def test_a_reply_that_was_lost_enqueues_nothing_twice(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    jobs = RecurringJobs(SingleLink(redis_url), Keys())
    jobs.register({"s": "{}"}, 100)
    answers = [jobs.tick("s", 100, 200, ("q", "{}"), 1) for _ in range(2)]
    assert answers == ["enqueued", "changed"]
    assert Counter(client.queue_sizes()) == Counter(q=1)
    assert redis.hget(LAST, "s") == b"200"


@pytest.mark.parametrize(
    "last", [None, b"", b"soon", b"-5", b"007", b"1e9", b"9" * 12, b"9" * 30]
)
def test_a_last_tick_that_is_lost_or_no_time_costs_no_later_tick(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client, last: bytes | None
) -> None:
    daily = Schedule("daily", "Job", "q", cron="0 3 * * *", zone="Europe/Vienna")
    masters = [Master(redis_url, HOURLY, daily) for _ in range(2)]
    for master in masters:
        master.look()
    for name in ("hourly", "daily"):
        if last is None:
            redis.hdel(LAST, name)
        else:
            redis.hset(LAST, name, last)
    for master in masters:
        master.look()
    now = redis.time()[0]
    assert all(now - 60 <= int(tick) <= now for tick in redis.hvals(LAST))
    assert client.size("q") == 0
    rewind(redis, "hourly", 7_200)
    for master in masters:
        master.look()
        master.close()
    assert client.size("q") == 1
