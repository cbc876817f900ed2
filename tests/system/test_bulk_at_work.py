"""Failures are retried in bulk while a pool works: none is lost, none runs twice."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.cli import RESQUED, add_failure
from tests.support.daemon import clean_environment
from tests.support.pool import count, left_over, pool, runs, waiting
from tests.support.wait import wait_until, wait_while_moving

# More than one step takes.
FAILURES = 1_200
# Of the retried jobs, every so many fails again, while the operation continues.
FAILS = 10


@pytest.mark.parametrize("removes", [False, True])
def test_a_bulk_retry_beside_working_workers(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, *, removes: bool
) -> None:
    for number in range(FAILURES):
        # Most jobs are cheap, and are counted alone.
        name = {0: "Fail", 5: "Run"}.get(number % FAILS, "Noop")
        add_failure(redis, number, class_name=name, queue="default")
    command = [*RESQUED, "failed", "retry", "--all", *(["--remove"] * removes)]
    env = {**clean_environment(), "REDIS_URL": redis_url}
    with pool(redis_url, tmp_path, workers=2):
        # Jobs run before the operation begins, and while it continues.
        resqued.Client(redis_url).enqueue_to("default", "Run", "early")
        wait_until(lambda: count(redis, "processed"), what="the pool to work")
        said = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr
        wait_while_moving(
            lambda: count(redis, "processed"),
            lambda: not waiting(redis),
            what="the jobs of the queue",
        )
    done = "retried and removed" if removes else "retried"
    # Jobs that failed again meanwhile may be retried too, unless an end was seen.
    retried = int(said.stdout.removeprefix(done).split()[0])
    assert retried == FAILURES if removes else retried >= FAILURES
    ran = runs(redis)
    assert ran.pop("early") == 1
    again = retried - FAILURES
    assert count(redis, "processed") == 1 + FAILURES + again
    assert ran.total() == FAILURES // 5 + again
    assert {*map(int, ran)} == {*range(0, FAILURES, 5)}
    twice = {int(number) for number, times in ran.items() if times > 1}
    assert all(number % FAILS == 0 for number in twice)
    assert len(twice) <= again
    entries = [json.loads(raw) for raw in redis.lrange("resque:failed", 0, -1)]
    left = Counter(entry["payload"]["args"][0] for entry in entries)
    new = [entry for entry in entries if "on purpose" in entry["error"]]
    assert len(new) == FAILURES // FAILS + again
    if removes:
        assert left == Counter(range(0, FAILURES, FAILS))
    else:
        assert {*left} == {*range(FAILURES)}
        assert left.total() == FAILURES + len(new)
    assert left_over(redis) == set()
