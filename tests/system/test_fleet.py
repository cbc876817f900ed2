"""Many masters on one server: what a job costs, and what happens to all at once.

Measured in commands, which a busy machine does not change.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.daemon import Daemon
from tests.support.pool import count, left_over, pool, waiting
from tests.support.wait import wait_until

MANY = 6
JOBS = 30
# What a worker that is woken costs, and what a call costs.
PAID = ("evalsha", "lpop", "publish")


@contextmanager
def masters(url: str, tmp_path: Path, number: int) -> Iterator[list[Daemon]]:
    """Run so many masters of one worker each, until all are idle."""
    with ExitStack() as stack, redis_py.Redis.from_url(url) as client:
        daemons = []
        for place in range(number):
            folder = tmp_path / str(place)
            folder.mkdir(parents=True)
            daemons.append(
                stack.enter_context(
                    pool(url, folder, config="[worker]\ninterval = 1\n")
                )
            )
        wait_until(lambda: client.scard("resque:workers") == number, what="the workers")
        yield daemons


def push_each(client: redis_py.Redis, begin: int, jobs: int) -> None:
    """Push jobs one at a time, each when the one before has been settled."""
    for number in range(jobs):
        client.rpush("resque:queue:default", '{"class":"Noop","args":[]}')
        wait_until(
            lambda done=begin + number + 1: count(client, "processed") == done,
            what="the job",
        )


def commands_per_job(client: redis_py.Redis) -> float:
    """Return how often a script runs and a queue is popped, for each job."""
    client.config_resetstat()
    push_each(client, count(client, "processed"), JOBS)
    stats = client.info("commandstats")
    return (
        float(sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in PAID))
        / JOBS
    )


@pytest.mark.server_semantics
def test_a_job_costs_about_the_same_with_six_idle_masters_as_with_one(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with masters(redis_url, tmp_path / "one", 1):
        alone = commands_per_job(redis)
    redis.flushall()
    with masters(redis_url, tmp_path / "many", MANY):
        redis.config_resetstat()
        wait_until(
            lambda: (
                redis.info("commandstats").get("cmdstat_hlen", {}).get("calls", 0)
                >= 2 * MANY
            ),
            what="each master to count the workers of all",
        )
        push_each(redis, 0, MANY)
        assert commands_per_job(redis) <= 1.5 * alone
    assert left_over(redis) == set()


def test_masters_that_stop_leave_their_place_to_others(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with masters(redis_url, tmp_path, 3) as daemons:
        push_each(redis, 0, 3)
        for daemon in daemons[:2]:
            daemon.signal(signal.SIGTERM)
        wait_until(
            lambda: redis.scard("resque:workers") == 1, what="the one that stays"
        )
        push_each(redis, 3, 6)
        assert waiting(redis) == 0
        daemons[2].signal(signal.SIGTERM)
        wait_until(lambda: redis.scard("resque:workers") == 0, what="the end")
    assert left_over(redis) == set()
