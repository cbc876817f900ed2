"""A worker is killed at every point of a job's life: nothing is lost or doubled."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import Daemon
from tests.support.faults import POINTS
from tests.support.pool import count, failures, left_over, pool, runs
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

JOBS = 30
# Points at which the job has run to its end, points at which it was not begun.
HAS_RUN = {"after-the-result", "before-settling"}
NOT_BEGUN = {"after-reserve", "before-handing-over"}


def faulty(url: str, tmp_path: Path, point: str, **options: Any) -> Daemon:
    (tmp_path / "struck").mkdir()
    fault = {"FAULT_POINT": point, "FAULT_FOLDER": str(tmp_path / "struck")}
    fault |= options.pop("env", {})
    return pool(
        url,
        tmp_path,
        *("-a", "tests.support.faults"),
        workers=4,
        env=fault,
        **options,
    )


def assert_accounted(client: redis_py.Redis, point: str) -> None:
    """Every job has run once, or has one failure, or both if it was cut short."""
    every = {str(n) for n in range(JOBS)}
    ran = runs(client)
    entries = failures(client)
    failed = Counter(str(entry["payload"]["args"][0]) for entry in entries)
    assert set(ran.values()) <= {1}, "a job ran twice"
    assert set(failed.values()) <= {1}, "a run was recorded twice"
    assert ran.keys() | failed.keys() == every
    assert count(client, "processed") == JOBS
    assert count(client, "failed") == len(entries)
    assert {entry["exception"] for entry in entries} <= {"Resque::DirtyExit"}
    assert all("SIGKILL" in entry["error"] for entry in entries)
    if point == "after-settling":
        # What was settled stays so; what was reserved with it is interrupted.
        assert ran.keys() & failed.keys() == set()
    else:
        assert failed.keys() == every
    if point in HAS_RUN:
        assert ran.keys() == every
    if point in NOT_BEGUN:
        assert not ran
    assert left_over(client) == set()


@pytest.mark.server_semantics
@pytest.mark.parametrize("point", POINTS)
def test_killing_the_worker_costs_one_failure_for_each_interrupted_run(
    point: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_many(
        ([n] for n in range(JOBS)), job="Run", queue="default"
    )
    with faulty(redis_url, tmp_path, point) as running:
        wait_until(
            lambda: count(redis, "processed") >= JOBS,
            what=f"{JOBS} runs to be accounted for",
        )
        if point != "after-settling":
            # Every job was struck, and its worker replaced.
            running.wait_for_event("worker_died", count=JOBS)
        wait_until(
            lambda: redis.scard("resque:workers") == 4, what="four workers to register"
        )
    assert_accounted(redis, point)


def hear(fifo: Path) -> str:
    """Return what the worker says through a FIFO; neither side waits for ever."""
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(fd, "rb", buffering=0) as reader:
        said = wait_until(lambda: reader.read(100), what="a worker at the point")
    return said.decode()


def say(fifo: Path) -> None:
    """Let the worker continue, which waits at the other end."""

    def opened() -> int | None:
        with suppress(OSError):  # ENXIO: it has not opened its end yet
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        return None

    fd = wait_until(opened, what="the worker to listen")
    os.write(fd, b"go")
    os.close(fd)


@pytest.mark.parametrize("point", POINTS)
def test_replies_that_are_swallowed_and_a_killed_worker(
    point: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "told")
    os.mkfifo(tmp_path / "go")
    client = resqued.Client(redis_url)
    with (
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        faulty(
            proxy.url,
            tmp_path,
            point,
            env={"FAULT_FIFO": str(tmp_path)},
            direct_url=redis_url,
            config="[redis]\ntimeout = '1s'\n",
        ) as running,
    ):
        running.wait_for_event("master_ready")
        for turn in range(JOBS):
            client.enqueue_to("default", "Run", turn)
            assert int(hear(tmp_path / "told")) in running.workers()
            proxy.swallow_replies()
            say(tmp_path / "go")
            running.wait_for_event("worker_died", count=turn + 1)
            proxy.forward()
            wait_until(
                lambda turn=turn: count(redis, "processed") >= turn + 1,
                what=f"job {turn} to be accounted for",
            )
    assert_accounted(redis, point)


@pytest.mark.server_semantics
def test_lost_replies_to_a_living_worker_change_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with (
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        pool(
            proxy.url,
            tmp_path,
            workers=2,
            direct_url=redis_url,
            config="[redis]\ntimeout = '1s'\n",
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
                lambda turn=turn: count(redis, "processed") >= (turn + 1) * 10,
                what="ten more jobs",
            )
    assert runs(redis) == Counter(map(str, range(100)))
    assert count(redis, "processed") == 100
    assert count(redis, "failed") == 0
    assert left_over(redis) == set()
