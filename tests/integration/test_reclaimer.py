"""Pruning by a master: whom it leaves to be reclaimed."""

from __future__ import annotations

import subprocess

import pytest
import redis as redis_py

import resqued
from resqued.log import logger
from resqued.master.reclaimer import Reclaimer
from resqued.store.connection import SingleLink
from resqued.store.registry import Registry
from resqued.system import process
from resqued.wire.keys import Keys
from resqued.wire.worker_entry import Identity

RECORD = (
    '{"queue":"q","run_at":"2026-01-01T00:00:00Z","payload":{"class":"A","args":[]}}'
)


def add_dead_worker(redis: redis_py.Redis) -> str:
    """Register a worker of this machine whose process has ended, with a job."""
    with subprocess.Popen(["true"]) as ended:
        pass
    identity = Identity(
        boot=process.boot_id(),
        pids=process.pid_namespace(),
        pid=ended.pid,
        start=1,
        interval=60.0,
        nonce="0",
    )
    worker = f"{process.hostname()}:{ended.pid}:q"
    redis.sadd("resque:workers", worker)
    redis.hset("resque:resqued:workers", worker, identity.encode())
    redis.set(f"resque:worker:{worker}", RECORD)
    return worker


@pytest.mark.parametrize("is_own", [False, True])
def test_a_dead_worker_of_the_master_itself_is_not_pruned(
    redis_url: str, redis: redis_py.Redis, is_own: bool
) -> None:
    """It is reclaimed when the master has reaped it, with the reason of its death."""
    worker = add_dead_worker(redis)
    link = SingleLink(redis_url)
    reclaimer = Reclaimer(Registry(link, Keys("resque")), "test", logger.get())
    reclaimer.is_own = lambda name: is_own and name == worker
    for turn in range(4):
        reclaimer.turn(float(turn))
    assert bool(redis.sismember("resque:workers", worker)) is is_own
    assert redis.llen("resque:failed") == (0 if is_own else 1)
    link.close()


def test_what_a_dead_caller_has_staged_is_put_back(
    redis_url: str, redis: redis_py.Redis
) -> None:
    numbers = [str(number).encode() for number in range(1_500)]
    redis.rpush("resque:queue:q", *numbers)
    steps = resqued.Client(redis_url)._queues.dequeue_steps("q", "None")
    while next(steps).judged < 700:
        pass
    assert redis.exists("resque:resqued:bulk:staged:queue:q")
    link = SingleLink(redis_url)
    reclaimer = Reclaimer(Registry(link, Keys("resque")), "test", logger.get())
    for turn in range(4):
        reclaimer.turn(float(turn))
    # It may be at work still.
    assert redis.exists("resque:resqued:bulk:staged:queue:q")
    redis.delete("resque:resqued:bulk:owner:queue:q")  # as its TTL does
    reclaimer.prune_soon()
    for turn in range(9):
        reclaimer.turn(float(turn))
    assert redis.lrange("resque:queue:q", 0, -1) == numbers
    assert redis.keys("resque:resqued:bulk*") == []
    link.close()
