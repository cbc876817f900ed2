"""What `bench.web --pool` counts: a job that is lost or there twice is reported."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import redis as redis_py

from bench import web_pool
from bench.web_data import CLASSES, NS, failure_entry
from resqued.jobs.lookup import resolve
from resqued.wire import payload

RETRIED = range(0, 20, 2)


@pytest.fixture
def full(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> redis_py.Redis:
    """Some jobs have run, the others wait, in the state after a retry."""
    monkeypatch.setattr(web_pool, "WAITING", 10)
    web_pool.fill_queue(redis)
    for number in RETRIED:
        if number < 6:
            redis.hincrby("witness", str(number), 1)
        else:
            redis.sadd(f"{NS}:queues", "queue-3")
            redis.rpush(
                f"{NS}:queue:queue-3", payload.encode_job("Mail1", [number, {}])
            )
    return redis


@pytest.mark.parametrize(
    ("harm", "lost", "doubled"),
    [
        (lambda redis: None, 0, 0),
        (lambda redis: redis.lpop(f"{NS}:queue:queue-3"), 1, 0),
        (lambda redis: redis.rpop(f"{NS}:queue:queue-0"), 1, 0),
        (lambda redis: redis.hdel("witness", "4"), 1, 0),
        (lambda redis: redis.hincrby("witness", "4", 1), 0, 1),
        (lambda redis: redis.hincrby("witness", "8", 1), 0, 1),
        (lambda redis: redis.hincrby("witness", "3", 1), 0, 1),
    ],
)
def test_what_is_lost_or_there_twice_is_counted(
    full: redis_py.Redis,
    harm: Callable[[redis_py.Redis], object],
    *,
    lost: int,
    doubled: int,
) -> None:
    harm(full)
    found = web_pool.counts(full)
    assert web_pool.lost_and_doubled(found, RETRIED) == (lost, doubled)


def test_each_class_of_the_failures_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WITNESS_HOST", "127.0.0.1")
    monkeypatch.setenv("WITNESS_PORT", "1")
    importlib.import_module("bench.jobs.witness_jobs")
    used = {json.loads(failure_entry(n))["payload"]["class"] for n in range(2_000)}
    assert used == set(CLASSES)
    for name in used:
        run, *_ = resolve(name, ["bench.jobs.witness_jobs"])
        assert callable(run)
