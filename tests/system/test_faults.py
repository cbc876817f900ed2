"""A worker is killed at every point of a job's life: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import Daemon
from tests.support.faults import POINTS
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

JOBS = 50
NS = "resque:"
# Points at which the job has run to its end, points at which it was not begun.
HAS_RUN = {"after-the-result", "before-settling", "after-settling"}
NOT_BEGUN = {"after-reserve", "before-handing-over"}


def daemon(url: str, tmp_path: Path, point: str, **env: str) -> Daemon:
    (tmp_path / "struck").mkdir()
    return Daemon(
        "default",
        *("-n", "4", "-r", url),
        *("-a", "tests.support.jobs", "-a", "tests.support.faults"),
        cwd=tmp_path,
        env={
            "TEST_REDIS_URL": url,
            "FAULT_POINT": point,
            "FAULT_FOLDER": str(tmp_path / "struck"),
            **env,
        },
    )


def number(client: redis_py.Redis, key: str) -> int:
    return int(client.get(NS + key) or 0)


def failures(client: redis_py.Redis) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in client.lrange(f"{NS}failed", 0, -1)]


@pytest.mark.parametrize("point", POINTS)
def test_killing_the_worker_costs_one_failure_for_each_interrupted_run(
    point: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_many(
        ([n] for n in range(JOBS)), job="Run", queue="default"
    )
    with daemon(redis_url, tmp_path, point) as running:
        wait_until(
            lambda: number(redis, "stat:processed") >= JOBS,
            what=f"{JOBS} runs to be accounted for",
        )
        # Every job was struck, and its worker replaced.
        running.wait_for_event("worker_died", count=JOBS)
        wait_until(
            lambda: redis.scard(f"{NS}workers") == 4, what="four workers to register"
        )
    interrupted = 0 if point == "after-settling" else JOBS
    assert number(redis, "stat:processed") == JOBS
    assert number(redis, "stat:failed") == interrupted
    found = failures(redis)
    assert Counter(entry["payload"]["args"][0] for entry in found) == Counter(
        range(interrupted)
    )
    assert {entry["exception"] for entry in found} <= {"Resque::DirtyExit"}
    assert all("SIGKILL" in entry["error"] for entry in found)
    runs = Counter(int(n) for n in redis.lrange("runs", 0, -1))
    assert set(runs.values()) <= {1}, "a job ran twice"
    if point in HAS_RUN:
        assert len(runs) == JOBS
    if point in NOT_BEGUN:
        assert not runs
    assert left_over(redis) == set()


@pytest.mark.parametrize("point", POINTS)
def test_replies_that_are_swallowed_and_a_killed_worker(
    point: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    jobs = 6
    os.mkfifo(tmp_path / "told")
    os.mkfifo(tmp_path / "go")
    client = resqued.Client(redis_url)
    with (
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        daemon(
            proxy.url, tmp_path, point, FAULT_FIFO=str(tmp_path), TEST_REDIS_URL=redis_url
        ) as running,
    ):
        running.wait_for_event("master_ready")
        for turn in range(jobs):
            client.enqueue_to("default", "Run", turn)
            told = (tmp_path / "told").read_text()
            assert int(told) in running.workers()
            proxy.swallow_replies()
            (tmp_path / "go").write_text("go")
            running.wait_for_event("worker_died", count=turn + 1)
            proxy.forward()
            wait_until(
                lambda turn=turn: number(redis, "stat:processed") >= turn + 1,
                what=f"job {turn} to be accounted for",
            )
    interrupted = 0 if point == "after-settling" else jobs
    assert number(redis, "stat:processed") == jobs
    assert number(redis, "stat:failed") == interrupted
    assert Counter(e["payload"]["args"][0] for e in failures(redis)) == Counter(
        range(interrupted)
    )
    runs = Counter(int(n) for n in redis.lrange("runs", 0, -1))
    assert set(runs.values()) <= {1}, "a job ran twice"
    assert left_over(redis) == set()


def test_lost_replies_to_a_living_worker_change_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with (
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        Daemon(
            *("default", "-n", "2", "-r", proxy.url, "-a", "tests.support.jobs"),
            cwd=tmp_path,
            env={"TEST_REDIS_URL": redis_url, "RESQUED_REDIS_TIMEOUT": "0.3s"},
        ) as running,
    ):
        running.wait_for_event("master_ready")
        for turn in range(10):
            # The reply to the settlement of one job, which reserves the next.
            proxy.swallow_replies(count=1, of="EVALSHA")
            client.enqueue_many(
                ([turn * 10 + n] for n in range(10)), job="Run", queue="default"
            )
            wait_until(
                lambda turn=turn: number(redis, "stat:processed") >= (turn + 1) * 10,
                what="ten more jobs",
            )
    runs = Counter(int(n) for n in redis.lrange("runs", 0, -1))
    assert runs == Counter(range(100))
    assert number(redis, "stat:processed") == 100
    assert number(redis, "stat:failed") == 0
    assert left_over(redis) == set()


def left_over(client: redis_py.Redis) -> set[bytes]:
    """Return the keys that should not be there when the pool has gone."""
    expected = {
        b"resque:queues",
        b"resque:failed",
        b"resque:stat:processed",
        b"resque:stat:failed",
        b"resque:pruning_dead_workers_in_progress",
        b"runs",
        b"started",
    }
    return set(client.keys("*")) - expected
