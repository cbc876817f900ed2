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
SOME = 4
# What a master sends to begin, and little of when it is idle.
OF_A_START = ("hello", "evalsha", "eval", "hkeys", "hget", "sscan", "publish")
# Those of the master and of its worker.
CONNECTIONS = 4
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
        # A master alone calls nobody; of several, one calls the next, which looks: four
        # commands. Heartbeats and the like are less than one; if all six looked, there
        # would be ten more.
        assert commands_per_job(redis) <= alone + 5
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


def calls(client: redis_py.Redis, *names: str) -> int:
    """Return how often commands were executed since the last reset."""
    stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{n}", {}).get("calls", 0)) for n in names)


def wait_until_all_are_connected(client: redis_py.Redis, number: int) -> None:
    wait_until(
        lambda: calls(client, "hello") >= CONNECTIONS * number,
        what="every connection",
        deadline=60,
    )


def registered(client: redis_py.Redis) -> set[int]:
    """Return the pids of the workers that are registered."""
    return {int(each.split(b":")[1]) for each in client.smembers("resque:workers")}


def test_masters_that_begin_all_at_once_are_no_stampede(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    redis.config_resetstat()
    with masters(redis_url, tmp_path / "one", 1):
        wait_until_all_are_connected(redis, 1)
        alone = calls(redis, *OF_A_START)
    redis.config_resetstat()
    with masters(redis_url, tmp_path / "some", SOME) as daemons:
        wait_until_all_are_connected(redis, SOME)
        assert calls(redis, *OF_A_START) <= 2 * SOME * alone
        # All lose their connections at once.
        redis.config_resetstat()
        redis.client_kill_filter(_type="normal", skipme=True)
        redis.client_kill_filter(_type="pubsub")
        push_each(redis, 0, SOME)
        wait_until(
            lambda: calls(redis, "hello") >= 2 * SOME,
            what="each master to be connected again",
        )
        assert calls(redis, *OF_A_START) <= 2 * SOME * alone
        # All are killed: those of the next fleet find what is left of them.
        before = registered(redis)
        for daemon in daemons:
            daemon.signal(signal.SIGKILL)
            daemon.wait()
        redis.config_resetstat()
        with masters(redis_url, tmp_path / "next", SOME):
            wait_until(
                lambda: (
                    len(found := registered(redis)) == SOME and before.isdisjoint(found)
                ),
                what="the registry to be true",
            )
            wait_until_all_are_connected(redis, SOME)
            assert calls(redis, *OF_A_START) <= 2 * SOME * alone
    # Places in the line of those that were killed: a call passes them over, and without
    # one the line ends.
    left = left_over(redis)
    assert left <= {b"resque:resqued:line:default"}
    assert all(redis.ttl(key) > 0 for key in left)


def waits(pid: int) -> int:
    """Return how often a process has waited (proc(5), voluntary_ctxt_switches)."""
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_a_push_wakes_an_idle_master_less_than_three_times(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with masters(redis_url, tmp_path, 1) as (daemon,):
        push_each(redis, 0, 10)
        before = waits(daemon.pid)
        push_each(redis, 10, 100)
        # It is told of the push, and of the worker that is idle again; 3.5 if the wake
        # of the worker were followed by another look.
        assert waits(daemon.pid) - before < 300
