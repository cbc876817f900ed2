"""Settling an attempt in a real server: one step, whatever is lost or in its way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from resqued.store.attempts import Attempt, AttemptCounters, AttemptEnd
from resqued.store.connection import SingleLink
from resqued.store.runs import FinishedRun, NoJob, Runs, SettleOutcome
from resqued.wire.keys import Keys
from resqued.wire.payload import Reservation
from tests.support.runs import registered

pytestmark = pytest.mark.server_semantics

JOB = '{"class":"A","args":[1]}'
ITEM = '{"class":"A","args":[1],"queue":"q"}'
ENTRY = b'{"error":"x"}'


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    made = SingleLink(redis_url, timeout=30)
    yield made
    made.close()


@pytest.fixture
def runs(link: SingleLink) -> Runs:
    return registered(link, "q", namespace="resque")


def take(runs: Runs, redis: redis_py.Redis) -> int:
    redis.rpush("resque:queue:q", JOB)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    return held.run


def end(delay: float | None, number: int = 1, **more: object) -> AttemptEnd:
    attempt = Attempt("A:1", number, first_at=12.5)
    return AttemptEnd(attempt, delay, "q", JOB, ITEM, **more)  # type: ignore[arg-type]


def counters(redis: redis_py.Redis) -> set[bytes]:
    return set(redis.keys("*retry*"))


def test_a_retry_is_scheduled_once_although_the_reply_was_lost(
    runs: Runs, redis: redis_py.Redis
) -> None:
    ending = FinishedRun(take(runs, redis), ENTRY)
    answers = [runs.settle_attempt(ending, end(60.0)) for _ in range(3)]
    assert answers == [SettleOutcome.RETRIED, *[SettleOutcome.NOTHING] * 2]
    (time,) = redis.zrange("resque:delayed_queue_schedule", 0, -1)
    assert redis.lrange(b"resque:delayed:" + time, 0, -1) == [ITEM.encode()]
    assert redis.smembers(f"resque:timestamps:{ITEM}") == {b"delayed:" + time}
    assert redis.get("resque:resque-retry:A:1") == b"0"
    assert redis.get("resque:resqued:retry:A:1") == b"12.500"
    assert redis.get("resque:failure-resque-retry:A:1") == ENTRY
    assert redis.mget("resque:stat:processed", "resque:stat:failed") == [b"1", b"1"]
    assert not redis.exists("resque:failed")
    assert not redis.exists(f"resque:worker:{runs.worker_id}")


@pytest.mark.parametrize("entry", [b"", ENTRY])
def test_the_end_of_a_job_removes_its_counters(
    runs: Runs, redis: redis_py.Redis, entry: bytes
) -> None:
    runs.settle_attempt(FinishedRun(take(runs, redis), ENTRY), end(0.0))
    assert redis.lpop("resque:queue:q") == JOB.encode()
    assert len(counters(redis)) == 3
    ending = FinishedRun(take(runs, redis), entry)
    assert runs.settle_attempt(ending, end(None, 2)) is SettleOutcome.RECORDED
    assert not counters(redis)
    assert redis.llen("resque:failed") == bool(entry)


def test_every_attempt_is_recorded_if_that_is_asked_for(
    runs: Runs, redis: redis_py.Redis
) -> None:
    runs.settle_attempt(
        FinishedRun(take(runs, redis), ENTRY), end(0.0, records_all=True)
    )
    assert redis.lrange("resque:failed", 0, -1) == [ENTRY]
    assert not redis.exists("resque:failure-resque-retry:A:1")


def test_a_counter_that_nobody_has_read_counts_in_the_server(
    runs: Runs, redis: redis_py.Redis
) -> None:
    for n in range(3):
        ending = FinishedRun(take(runs, redis), ENTRY)
        runs.settle_attempt(ending, end(60.0, 0))
        assert redis.get("resque:resque-retry:A:1") == b"%d" % n


@pytest.mark.parametrize("key", ["delayed_queue_schedule", "queue:q"])
def test_a_job_that_cannot_wait_has_failed(
    runs: Runs, redis: redis_py.Redis, key: str
) -> None:
    """The key of the delayed jobs, or of the queue, is of another type."""
    ending = FinishedRun(take(runs, redis), ENTRY)
    redis.set(f"resque:{key}", "no list")
    delay = 0.0 if key == "queue:q" else 60.0
    assert runs.settle_attempt(ending, end(delay)) is SettleOutcome.RECORDED
    assert redis.lrange("resque:failed", 0, -1) == [ENTRY]
    assert not counters(redis)


def test_a_run_whose_counter_was_deleted_is_settled_once(
    runs: Runs, redis: redis_py.Redis
) -> None:
    for _ in range(2):
        ending = FinishedRun(take(runs, redis), ENTRY)
        redis.delete(f"resque:stat:processed:{runs.worker_id}")
        answers = [runs.settle_attempt(ending, end(60.0)) for _ in range(2)]
        assert answers == [SettleOutcome.RETRIED, SettleOutcome.NOTHING]
    assert runs.settle(None)[1] is NoJob.SETTLED


def test_a_run_that_was_taken_away_schedules_nothing(
    runs: Runs, redis: redis_py.Redis
) -> None:
    ending = FinishedRun(take(runs, redis), ENTRY)
    redis.hset("resque:resqued:workers", runs.worker_id, "another")
    assert runs.settle_attempt(ending, end(60.0)) is SettleOutcome.NOT_MINE
    assert not redis.exists("resque:delayed_queue_schedule", "resque:failed")


@pytest.mark.parametrize(
    ("count", "number"), [(None, 1), ("-1", 1), ("0", 2), ("7", 9), ("x", 1)]
)
def test_the_counter_begins_at_0_with_the_first_attempt(
    link: SingleLink, redis: redis_py.Redis, count: str | None, number: int
) -> None:
    if count is not None:
        redis.set("resque:resque-retry:A:1", count)
    found = AttemptCounters(link, Keys()).read("A:1", with_age=False)
    assert (found.number, found.first_at) == (number, 0.0)
    found = AttemptCounters(link, Keys()).read("A:1", with_age=True)
    assert found.number == number
    assert found.first_at > 0
    assert found.age == 0.0
    redis.set("resque:resqued:retry:A:1", found.first_at - 100)
    assert AttemptCounters(link, Keys()).read("A:1", with_age=True).age >= 100
