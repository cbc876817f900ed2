"""What jobs leave behind, what children keep, and what the kernel takes away."""

from __future__ import annotations

import fcntl
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.daemon import RESQUED
from tests.support.pool import count, failures, left_over, runs
from tests.support.processes import is_alive
from tests.support.stuck import beginning, failure, stuck_pool
from tests.support.wait import wait_until

MB = 1 << 20
SHORT = "[limits]\nruntime = '3s'\ngrace = '300ms'\n"


def who(client: redis_py.Redis) -> list[tuple[int, int, int]]:
    """Return number, child and worker of every job that has said so."""
    told = [entry.decode().split() for entry in client.lrange("who", 0, -1)]
    return [(int(number), int(pid), int(parent)) for number, pid, parent in told]


def test_nothing_that_a_job_has_started_outlives_its_limit(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with stuck_pool(redis_url, tmp_path, config=SHORT):
        resqued.Client(redis_url).enqueue_to("default", "Beget", 600)
        _, pids = beginning(redis)
        assert all(map(is_alive, pids))
        entry = failure(redis)
        # Recorded when it was over, not before.
        assert [pid for pid in pids if is_alive(pid)] == []
    assert entry["exception"] == "JobTimeout"


@pytest.mark.parametrize("policy", ["kill", "leave"])
def test_what_a_job_leaves_behind_after_a_good_end(
    policy: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = f"[worker]\nleftovers = '{policy}'\n[limits]\ngrace = '200s'\n"
    client = resqued.Client(redis_url)
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        running.wait_for_event("master_ready")
        client.enqueue_to("default", "Beget", 0)
        client.enqueue_to("default", "Run", 1)
        _, pids = beginning(redis)
        # Nobody is given the grace of a job that is ended.
        wait_until(lambda: runs(redis)["1"] == 1, what="the next job")
        if policy == "kill":
            assert [pid for pid in pids if is_alive(pid)] == []
        else:
            assert [pid for pid in pids[1:] if not is_alive(pid)] == []
            for pid in pids[1:]:
                os.kill(pid, signal.SIGKILL)
    assert failures(redis) == []
    assert (count(redis, "processed"), count(redis, "failed")) == (2, 0)


@pytest.mark.parametrize("seconds", [0, 600], ids=["good-end", "limit"])
def test_a_chain_of_forks_has_ended_when_the_job_is_recorded(
    seconds: int, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Each process of it forks the next and exits, so that no list has it for long."""
    lock = tmp_path / "lock"
    with stuck_pool(redis_url, tmp_path, config=SHORT):
        client = resqued.Client(redis_url)
        for number in (1, 2):
            client.enqueue_to("default", "ForkOn", str(lock), seconds)
            wait_until(
                lambda number=number: count(redis, "processed") == number,
                what=f"{number} jobs",
            )
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(failures(redis)) == (2 if seconds else 0)


@pytest.mark.parametrize("seconds", [0, 600], ids=["bad-end", "limit"])
def test_shared_memory_is_removed_when_its_job_is_over(
    seconds: int, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """The resource tracker of multiprocessing outlives the other processes."""
    name = f"resqued-test-{uuid.uuid4().hex}"
    with stuck_pool(redis_url, tmp_path, config=SHORT):
        resqued.Client(redis_url).enqueue_to("default", "Share", name, seconds)
        beginning(redis)
        entry = failure(redis)
        assert not Path("/dev/shm", name).exists()
    assert entry["exception"] == ("JobTimeout" if seconds else "ValueError")


def test_a_resource_tracker_that_does_not_end_is_killed(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    env = {"RESQUED_TIMINGS": "tracker_patience=0.2"}
    with stuck_pool(redis_url, tmp_path, env=env):
        client = resqued.Client(redis_url)
        client.enqueue_to("default", "Pretend")
        client.enqueue_to("default", "Run", 1)
        _, pids = beginning(redis)
        wait_until(lambda: runs(redis)["1"] == 1, what="the next job")
        assert [pid for pid in pids if is_alive(pid)] == []


@pytest.mark.alone("two thousand processes leave nothing to others")
@pytest.mark.parametrize("seconds", [0, 600], ids=["good-end", "order"])
def test_thousands_of_processes_are_none_when_the_job_is_over(
    seconds: int, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    # Room for forking them all, and for a look at them all.
    config = "[limits]\nruntime = '250s'\ngrace = '500ms'\n"
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        running.wait_for_event("master_ready")
        client = resqued.Client(redis_url)
        client.enqueue_to("default", "Bomb", 2000, seconds)
        client.enqueue_to("default", "Run", 1)
        began, _ = beginning(redis)
        (worker,) = running.workers()
        beginning(redis)
        if seconds:
            running.signal(signal.SIGUSR1)
        wait_until(lambda: runs(redis)["1"] == 1, deadline=200, what="the next job")
        took = time.monotonic() - began
        # Its standby, and the child of the job that has just said so.
        assert running.workers() == [worker]
        below = psutil.Process(worker).children(recursive=True)
        assert sum(is_alive(process.pid) for process in below) <= 2
        print(f"2000 processes: the next job after {took:.2f} s")
    assert count(redis, "failed") == (seconds > 0)
    assert left_over(redis) == set()


def test_a_child_takes_as_many_jobs_as_it_is_told(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    for number in range(7):
        client.enqueue_to("default", "Who", number)
    config = "[worker]\njobs_per_child = 3\n"
    with stuck_pool(redis_url, tmp_path, "--burst", config=config) as running:
        assert running.wait() == 0
    pids = [pid for _, pid, _ in who(redis)]
    assert [len(set(pids[n : n + 3])) for n in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


@pytest.mark.parametrize(
    ("job", "args", "stays"),
    [
        ("Fail", (5,), True),
        ("Beget", (0,), False),
        ("Stuck", ("sleeps",), False),
        ("Grow", (150 * MB,), True),
        ("Keep", (150 * MB,), False),
        ("Leave", (3,), False),
    ],
)
def test_after_which_jobs_a_child_takes_another(
    job: str,
    args: Any,
    *,
    stays: bool,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
) -> None:
    """One that has told of the end, was not told to end, and is as it was."""
    client = resqued.Client(redis_url)
    client.enqueue_to("default", "Who", 1)
    client.enqueue_to("default", job, *args)
    client.enqueue_to("default", "Who", 2)
    config = "[worker]\njobs_per_child = 3\n"
    config += "[limits]\nmemory = '200M'\ngrace = '300ms'\n"
    config += "[limits.class.Stuck]\nruntime = '2s'\n"
    with stuck_pool(redis_url, tmp_path, "--burst", config=config) as running:
        assert running.wait() == 0
    (_, first, _), (_, second, _) = who(redis)
    assert (first == second) == stays
    assert count(redis, "processed") == 3


def test_limits_are_those_of_the_job_and_not_of_its_child(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Five jobs, each within its time, in one child that has more than that."""
    client = resqued.Client(redis_url)
    config = "[worker]\njobs_per_child = 100\n[limits]\nruntime = '5s'\n"
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        for _ in range(4):
            client.enqueue_to("default", "Spin", 2.0)
        client.enqueue_to("default", "Stuck", "loops")
        wait_until(lambda: failures(redis), deadline=60, what="the last one's end")
        entry = failure(redis)
        assert len(running.events("limit_exceeded")) == 1
    (used,) = (part for part in entry["error"].split("; ") if part.startswith("CPU"))
    # Not the 8 s of those before it as well; it may have been looked at late.
    assert float(used.split()[1].rstrip("s,")) < 8
    assert count(redis, "processed") == 5


RESTRAINTS = "[worker]\nnice = 7\nopen_files = 123\ncore_size = 4096\n"


@pytest.mark.parametrize(
    ("config", "nice", "limits"), [(RESTRAINTS, 7, "123 4096"), ("", 5, None)]
)
def test_jobs_are_restrained_and_their_worker_is_not(
    config: str,
    nice: int,
    limits: str | None,
    *,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
) -> None:
    here = os.nice(0)
    with stuck_pool(redis_url, tmp_path, config=config) as running:
        resqued.Client(redis_url).enqueue_to("default", "Restraints")
        wait_until(lambda: redis.llen("restraints") == 1, what="the job")
        (worker,) = running.workers()
        assert psutil.Process(worker).nice() == here
        assert psutil.Process(running.pid).nice() == here
    (told,) = redis.lrange("restraints", 0, -1)
    number, _, rest = told.decode().partition(" ")
    assert int(number) == min(19, here + nice)
    assert limits is None or rest == limits


# An age that a worker has not at its birth, be the machine ever so slow.
@pytest.mark.parametrize("key", ["max_jobs = 10", "max_age = '1s'"])
def test_workers_are_replaced_in_time_and_no_job_is_lost(
    key: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    config = f"[worker]\n{key}\n"
    with stuck_pool(redis_url, tmp_path, config=config, workers=2) as running:
        running.wait_for_event("master_ready")
        for number in range(100):
            client.enqueue_to("default", "Who", number)
        wait_until(lambda: redis.llen("who") == 100, deadline=60, what="all jobs")
        if "age" in key:
            running.wait_for_event("worker_retires", count=4)
        wait_until(lambda: count(redis, "processed") == 100, what="their ends")
    assert sorted(number for number, _, _ in who(redis)) == list(range(100))
    assert failures(redis) == []
    by_worker = Counter(worker for _, _, worker in who(redis))
    if "jobs" in key:
        assert len(by_worker) >= 10
        assert max(by_worker.values()) <= 10


# The kernel's own limit

CGROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup (version 1) of 300 MB, as a service has one."""
    place = CGROUPS / f"resqued-test-{os.getpid()}"
    try:
        place.mkdir()
        (place / "memory.limit_in_bytes").write_text(str(300 * MB))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    with suppress(OSError):
        # Swap would be used up first.
        (place / "memory.memsw.limit_in_bytes").write_text(str(300 * MB))
    yield place
    wait_until(
        lambda: not (place / "cgroup.procs").read_text(), what="the cgroup to be empty"
    )
    place.rmdir()


def test_a_job_that_the_kernel_killed_for_its_memory_is_told_apart(
    cgroup: Path, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    enter = ("sh", "-c", f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', "sh")
    client = resqued.Client(redis_url)
    with stuck_pool(
        redis_url, tmp_path, command=(*enter, *RESQUED), workers=2
    ) as running:
        running.wait_for_event("master_ready")
        before = set(running.workers())
        client.enqueue_to("default", "Sleep", 3, 7)
        client.enqueue_to("default", "Grow", 2000 * MB)
        entry = failure(redis)
        # A SIGKILL of later is another matter.
        wait_until(lambda: runs(redis)["7"] == 1, what="the job beside it")
        client.enqueue_to("default", "Die", int(signal.SIGKILL))
        other = failure(redis, number=2)
        assert set(running.workers()) == before
    assert entry["exception"] == "OutOfMemory"
    assert "SIGKILL (signal 9): the kernel was out of memory" in entry["error"]
    assert other["exception"] == "Resque::DirtyExit"
    assert (count(redis, "processed"), count(redis, "failed")) == (3, 2)
