"""Limits of run time and memory: whatever a job does, it is over in time, and told."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.core.pool_key import PoolKey
from resqued.core.timings import DEFAULT_TIMINGS
from resqued.ipc.channel import socket_pair
from resqued.ipc.messages import to_worker
from resqued.ipc.scoreboard import Phase, Scoreboard, StepRecord
from resqued.master.usage import ProcessTable
from resqued.master.worker_handle import WorkerHandle
from resqued.wire import queue_list
from tests.support.daemon import Daemon
from tests.support.pool import count, failures
from tests.support.processes import is_alive
from tests.support.stuck import beginning, failure, stuck_pool
from tests.support.stuck_jobs import WAYS, grow, stuck
from tests.support.wait import wait_until

MB = 1 << 20
# Time for a busy machine to begin the job, and for a worker to end it: two seconds
# after the grace the master does, who knows no reason to tell.
RUNTIME, GRACE = 1.0, 3.0
SHORT = f"""
[limits]
runtime = '{RUNTIME:g}s'
grace = '{GRACE:g}s'

[limits.class.Run]
runtime = '0s'
"""
# What the exception that is raised in a job gets it out of.
INTERRUPTED = {"sleeps", "loops", "deadlocks", "is_stopped"}
INTERRUPTED |= {"waits_for_a_reply", "waits_for_a_program"}
# Beyond limit and grace, on a machine with nothing else to do.
SLACK = 1.0


@pytest.mark.parametrize("way", WAYS)
def test_whatever_a_job_is_stuck_in_it_is_dead_in_time_and_says_where_it_was(
    way: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with stuck_pool(redis_url, tmp_path, config=SHORT) as running:
        running.wait_for_event("master_ready")
        # Its time begins before it can tell of that.
        asked = time.monotonic()
        client.enqueue_to("default", "Stuck", way)
        _, pids = beginning(redis)
        wait_until(
            lambda: not any(map(is_alive, pids)),
            deadline=10 * (RUNTIME + GRACE + SLACK),
            what="the end of the tree",
        )
        took = time.monotonic() - asked
        entry = failure(redis)
        # The worker is free for others.
        client.enqueue_to("default", "Run", 1)
        wait_until(lambda: redis.llen("runs") == 1, what="the next job")
        assert running.events("worker_died") == []
    print(f"{way:20} {took:5.2f} s  {entry['exception']}: {entry['error']}")
    print("\n".join(entry["backtrace"]))
    assert took >= RUNTIME
    assert entry["exception"] == "JobTimeout"
    assert f"runtime limit of {RUNTIME:g}s exceeded after " in entry["error"]
    assert "CPU " in entry["error"]
    assert "peak memory " in entry["error"]
    assert (count(redis, "processed"), count(redis, "failed")) == (2, 1)
    # Those that can be interrupted leave by themselves, if the machine lets them.
    assert "SIGKILL" in entry["error"] or way in INTERRUPTED
    backtrace = "\n".join(entry["backtrace"])
    assert ("no stack" in entry["error"]) == (way == "masks_signals")
    assert (way in backtrace) == (way != "masks_signals")
    assert "worker.py" not in backtrace


# Time enough on a busy machine, too: these are not to be killed, nor to be ended
# before they are ready for it.
PATIENT = "[limits]\nruntime = '2s'\ngrace = '30s'\n"


def test_a_job_cleans_up_when_its_time_is_up(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with stuck_pool(redis_url, tmp_path, config=PATIENT):
        resqued.Client(redis_url).enqueue_to("default", "CleansUp")
        entry = failure(redis)
    assert redis.lrange("cleaned", 0, -1) == [b"JobTimeout"]
    assert entry["exception"] == "JobTimeout"
    assert "SIGKILL" not in entry["error"]


def test_what_a_job_makes_of_its_time_being_up_counts(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with stuck_pool(redis_url, tmp_path, config=PATIENT) as running:
        client.enqueue_to("default", "Returns")
        client.enqueue_to("default", "RaisesAnother")
        entry = failure(redis)
        assert len(running.events("limit_exceeded")) == 2
    assert (count(redis, "processed"), count(redis, "failed")) == (2, 1)
    assert (entry["exception"], entry["error"]) == ("RuntimeError", "no result")


# Each limit is another number of seconds, so that its failure tells which one it was.
# Until a child has come to know its job, that of its pool counts: it has time to.
PRECEDENCE = """
[[pool]]
queues = "default"
workers = 1
runtime = "5s"

[[pool]]
queues = "narrow"
workers = 1
runtime = "5s"

[[pool]]
queues = "other"
workers = 1

[limits]
runtime = "6s"
grace = "500ms"

[limits.queue.narrow]
runtime = "400ms"

[limits.class.Stuck]
runtime = "200ms"
"""


def test_the_most_specific_limit_is_the_one_that_counts(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    expected = {
        "payload": "0.1s",
        "class": "0.2s",
        "declared": "0.3s",
        "queue": "0.4s",
        "pool": "5s",
        "default": "6s",
    }
    client = resqued.Client(redis_url)
    client.enqueue_to("narrow", stuck.limited(timeout="100ms"), "payload")
    client.enqueue_to("narrow", "Stuck", "class")
    client.enqueue_to("narrow", "Declared", "declared")
    client.enqueue_to("narrow", "Undeclared", "queue")
    client.enqueue_to("default", "Undeclared", "pool")
    client.enqueue_to("other", "Undeclared", "default")
    file = tmp_path / "resqued.toml"
    file.write_text(PRECEDENCE)
    with Daemon(
        *("-a", "tests.support.jobs", "-a", "tests.support.stuck_jobs"),
        *("-r", redis_url, "-c", str(file)),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": redis_url},
    ):
        wait_until(lambda: len(failures(redis)) == 6, what="six failures")
    found = {
        entry["payload"]["args"][0]: entry["error"].split()[3]
        for entry in failures(redis)
    }
    assert found == expected


# On a machine with nothing else to do it has at most 400 MB; see docs/reliability.md.
LIMIT, TOO_MUCH = 200 * MB, 1000 * MB
SMALL = "[limits]\nmemory = '200M'\ngrace = '2s'\n"


def filled(tmp_path: Path) -> int:
    """Return how many bytes the processes of a job had written when it ended."""
    return sum(int(path.read_text() or 0) for path in tmp_path.glob("filled-*"))


@pytest.mark.alone("how far a job grows before it is seen is a matter of the machine")
@pytest.mark.parametrize(
    ("job", "args"),
    [("Grow", ()), ("GrowOn", ()), ("GrowBelow", ()), ("GrowTogether", (4,))],
)
def test_a_job_that_grows_is_ended_before_it_has_many_times_its_limit(
    job: str, args: Any, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    # Who is to leave by itself must not be a quarter above the limit before it can.
    env = {} if job == "GrowOn" else {"TEST_FILL_RATE": "1e8"}
    with stuck_pool(redis_url, tmp_path, config=SMALL, env=env) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", job, 2000 * MB, *args)
        entry = failure(redis)
        peak = filled(tmp_path)
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: redis.llen("runs") == 1, what="the next job")
        assert running.events("worker_died") == []
    print(f"{job:13} {peak / MB:5.0f} MB  {entry['error']}")
    assert entry["exception"] == "MemoryLimitExceeded"
    assert "memory limit of 200 MB exceeded: " in entry["error"]
    assert "peak memory " in entry["error"]
    assert peak < TOO_MUCH
    assert ("SIGKILL" in entry["error"]) == (job == "GrowOn")


@pytest.mark.alone("how far a job grows before it is seen is a matter of the machine")
def test_a_limit_that_only_the_code_or_the_payload_names_is_kept_as_well(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with stuck_pool(redis_url, tmp_path) as running:
        running.wait_for_event("master_ready")
        client.enqueue_to("default", "GrowDeclared", 2000 * MB)
        entry = failure(redis)
        assert "memory limit of 200 MB exceeded: " in entry["error"]
        assert filled(tmp_path) < TOO_MUCH
        client.enqueue_to("default", grow.limited(memory="100M"), 2000 * MB)
        assert "memory limit of 100 MB" in failure(redis, number=2)["error"]


def test_the_end_of_a_job_with_many_processes_does_not_wait_for_measuring_them(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = "[limits]\nruntime = '5s'\ngrace = '300ms'\n"
    # The processes that the job forks have its handler, and say so.
    options = {"config": config, "may_log_tracebacks": True}
    with stuck_pool(redis_url, tmp_path, **options):
        resqued.Client(redis_url).enqueue_to("default", "Bomb", 120, 600)
        entry = failure(redis)
    assert entry["exception"] == "JobTimeout"
    assert "not measured: it had more than 50 processes" in entry["error"]


@pytest.mark.alone("it takes a gigabyte of memory")
def test_what_the_application_has_loaded_is_no_job_s_own(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    env = {"TEST_PRELOADED": str(1000 * MB)}
    with stuck_pool(redis_url, tmp_path, config=SMALL, env=env, workers=2) as running:
        running.wait_for_event("master_ready", deadline=60)
        for _ in range(100):
            client.enqueue_to("default", "Noop")
            client.enqueue_to("default", "Collect")
        # Long enough to be looked at several times.
        client.enqueue_to("default", "Collect", 2.0)
        client.enqueue_to("default", "Spawn", 200)
        wait_until(lambda: count(redis, "processed") == 202, deadline=200, what="jobs")
        assert running.events("limit_exceeded") == []
    assert failures(redis) == []


@pytest.mark.parametrize("where", ["settling", "running"])
def test_a_worker_that_hangs_is_replaced_and_its_job_accounted(
    where: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    env = {"TEST_WORKER_HANGS": where}
    config = "[redis]\ntimeout = '1s'\n[limits]\ngrace = '500ms'\n"
    with stuck_pool(redis_url, tmp_path, config=config, env=env) as running:
        running.wait_for_event("master_ready")
        client = resqued.Client(redis_url)
        client.enqueue_to("default", "Run", 1)
        client.enqueue_to("default", "Run", 2)
        (event,) = running.wait_for_event("worker_stuck", deadline=60)
        wait_until(lambda: count(redis, "processed") == 2, what="both jobs")
        assert len(running.workers()) == 1
    assert event["phase"] == where
    assert "in hang" in event["stack"]
    assert [entry["payload"]["args"] for entry in failures(redis)] == [[1]]
    assert redis.lrange("runs", 0, -1) == [b"1", b"2"]


def test_a_worker_that_is_stopped_does_not_save_its_job_from_the_limit(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    # Stopped before the time is up, it cannot end the job itself.
    config = "[limits]\nruntime = '3s'\ngrace = '500ms'\n"
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Stuck", "loops")
        _, (child,) = beginning(redis)
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: not is_alive(child), what="the end of the job")
        entry = failure(redis)
        (event,) = running.events("worker_stuck")
        assert event["phase"] == "running"
        wait_until(lambda: running.workers() not in ([], [worker]), what="another")
    assert entry["exception"] == "Resque::DirtyExit"


def test_a_worker_that_slept_through_the_end_of_its_job_knows_why_it_ended(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = "[limits]\nruntime = '3s'\ngrace = '500ms'\n"
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Stuck", "loops")
        _, (child,) = beginning(redis)
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        # By the master, and long before it gives the worker up.
        wait_until(lambda: not is_alive(child), what="the end of the job")
        os.kill(worker, signal.SIGCONT)
        entry = failure(redis)
        assert running.workers() == [worker]
    assert entry["exception"] == "JobTimeout"
    assert "runtime limit of 3s exceeded" in entry["error"]
    assert "no stack: no signal was taken" in entry["error"]


def test_what_is_known_of_a_large_tree_is_no_newer_than_the_look_at_it() -> None:
    """Or nobody would seem to have died for as long as one look is made to serve."""
    table, me = ProcessTable(), os.getpid()
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(100)]
    began = time.monotonic()
    assert len(table.descendants(me)) >= 100
    first = table.at
    assert began <= first <= time.monotonic()
    for child in children:
        child.kill()
        child.wait()
    # As on a machine where a look takes long.
    table._good_until = math.inf
    assert table.descendants(children[0].pid) == []
    assert table.at > first, "a small tree is looked at anew"
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(100)]
    assert len(table.descendants(me)) >= 100
    assert table.at == first
    for child in children:
        child.kill()
        child.wait()


def test_how_long_a_step_may_take_follows_from_the_time_out_of_redis() -> None:
    ours, theirs = socket_pair()
    scoreboard = Scoreboard.create()
    worker = WorkerHandle(
        to_worker(ours),
        scoreboard,
        spawned_at=100.0,
        generation=1,
        pool=PoolKey("q", "resque"),
        served=queue_list.parse("q"),
    )

    def is_stuck(phase: Phase, seconds: float, timeout: float = 3.0) -> bool:
        scoreboard.write(*StepRecord(phase, 0, 200.0))
        return worker.is_stuck(
            200.0 + seconds,
            heartbeat=60.0,
            redis_timeout=timeout,
            timings=DEFAULT_TIMINGS,
        )

    for phase in (Phase.STARTING, Phase.RESERVING, Phase.SETTLING, Phase.STOPPING):
        assert not is_stuck(phase, 29)
        assert is_stuck(phase, 31)
        assert not is_stuck(phase, 99, timeout=10.0)
        assert not is_stuck(phase, 9, timeout=0.1)
        assert is_stuck(phase, 11, timeout=0.1)
    assert not is_stuck(Phase.WAITING, 149)
    assert is_stuck(Phase.WAITING, 151)
    assert not is_stuck(Phase.RUNNING, 1e6)
    worker.close()
    theirs.close()
