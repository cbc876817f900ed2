"""The master as process 1, as in a container: of a pid namespace of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.daemon import Daemon
from tests.support.pool import failures, left_over, runs
from tests.support.processes import name_of
from tests.support.wait import wait_until

# The kernel kills what does not die with unshare, and so all that is in there.
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

# Leaves processes behind that nobody waits for, some dead at once and some later.
ORPHANS = """
import os, subprocess, redis, resqued

@resqued.job(queue="default", name="Orphans")
def orphans():
    for seconds in ("0", "0.2", "60"):
        command = f"setsid sleep {seconds} &"
        subprocess.run(["sh", "-c", command * 2])
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush("master", os.getppid())
"""
# What such a process is called, from its fork on.
STRAYS = ("sh", "setsid", "sleep")


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not can_unshare(), reason="a pid namespace cannot be had"
)


class First(Daemon):
    """A master that is process 1; what the test starts is its parent."""

    @property
    def master(self) -> int:
        """Its pid as it is outside."""
        (pid,) = (child.pid for child in psutil.Process(self.pid).children())
        return pid

    def send(self, signum: signal.Signals) -> None:
        self.processes()
        os.kill(self.master, signum)


@pytest.fixture
def first(redis_url: str, tmp_path: Path) -> Iterator[First]:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    (tmp_path / "resqued.toml").write_text('[worker]\nleftovers = "leave"\n')
    daemon = First(
        *("default", "-n", "2", "-r", redis_url, "-c", "resqued.toml"),
        *("-a", "tests.support.jobs", "-a", "orphans", "--log-format", "json"),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": redis_url},
        command=(*UNSHARE, sys.executable, "-m", "resqued", "work"),
        # unshare takes no part in signals: it ends when its child does.
        may_hang=True,
    )
    with daemon:
        (started,) = daemon.wait_for_event("master_started", deadline=60)
        assert started["pid"] == 1
        yield daemon
        if daemon.is_running():
            daemon.send(signal.SIGTERM)
            daemon.wait()


def inside(daemon: First) -> list[psutil.Process]:
    return psutil.Process(daemon.master).children(recursive=True)


def command_of(process: psutil.Process) -> list[str]:
    """Return the command of a process; nothing if it is dead."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def begin_long_jobs(
    url: str,
    redis: redis_py.Redis,
    seconds: float,
    count: int = 1,
    class_name: str = "Sleep",
) -> None:
    for number in range(count):
        args = [7 + number] if class_name == "Sleep" else []
        resqued.Client(url).enqueue_to("default", class_name, seconds, *args)
    wait_until(
        lambda: redis.llen("started") == count, what="the jobs to begin", deadline=60
    )


def test_jobs_run(first: First, redis_url: str, redis: redis_py.Redis) -> None:
    client = resqued.Client(redis_url)
    client.enqueue_many((("Run", n) for n in range(100)), queue="default")
    wait_until(lambda: len(runs(redis)) == 100, what="all jobs", deadline=60)
    # Within the namespace, which is what others know workers by.
    ids = {int(member.split(b":")[1]) for member in redis.smembers("resque:workers")}
    assert max(ids) < 1000


def test_what_jobs_leave_behind_is_reaped(
    first: First, redis_url: str, redis: redis_py.Redis
) -> None:
    first.wait_for_event("master_ready", deadline=60)
    for _ in range(5):
        resqued.Client(redis_url).enqueue_to("default", "Orphans")
    wait_until(lambda: redis.llen("master") == 5, what="the jobs", deadline=60)

    def left() -> dict[psutil.Process, list[str]]:
        """Return what jobs have left, by its command; of the dead that is empty."""
        return {p: command_of(p) for p in inside(first) if name_of(p) in STRAYS}

    wait_until(
        lambda: list(left().values()) == [["sleep", "60"]] * 10,
        what="the short ones to be reaped",
    )
    for process in left():
        process.kill()
    wait_until(lambda: not left(), what="the long ones to be reaped")


def test_hup_reloads(first: First, redis_url: str, redis: redis_py.Redis) -> None:
    first.wait_for_event("master_ready", deadline=60)
    before = {p.pid for p in inside(first)}
    first.send(signal.SIGHUP)
    first.wait_for_event("reload_done", deadline=60)
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    wait_until(lambda: runs(redis)["1"], what="a job of the new generation")
    wait_until(
        lambda: not before & {p.pid for p in inside(first)},
        what="the old generation to be gone",
    )


def test_quit_lets_the_running_job_finish(
    first: First, redis_url: str, redis: redis_py.Redis
) -> None:
    begin_long_jobs(redis_url, redis, 3)
    first.send(signal.SIGQUIT)
    assert first.wait() == 0
    assert runs(redis)["7"] == 1
    assert failures(redis) == []
    assert left_over(redis) == set()


@pytest.mark.parametrize("times", [1, 5])
def test_term_ends_the_running_jobs_once_however_often_it_comes(
    times: int, first: First, redis_url: str, redis: redis_py.Redis
) -> None:
    # Who takes no notice is killed after the grace: there is time for all of them.
    begin_long_jobs(redis_url, redis, 600, count=2, class_name="Deaf")
    first.processes()
    master = first.master
    for number in range(times):
        os.kill(master, signal.SIGTERM)
        first.wait_for_event("signal_received", count=number + 1)
    assert first.wait() == 0
    assert len(failures(redis)) == 2
    assert left_over(redis) == set()


def test_term_to_everybody_at_once_counts_once(
    first: First, redis_url: str, redis: redis_py.Redis
) -> None:
    begin_long_jobs(redis_url, redis, 600, count=2)
    for pid in [first.master, *(p.pid for p in inside(first))]:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue  # of a worker that was faster
    assert first.wait() == 0
    assert len(failures(redis)) == 2
    assert left_over(redis) == set()


def test_a_worker_that_is_killed_is_buried_and_replaced(
    first: First, redis_url: str, redis: redis_py.Redis
) -> None:
    begin_long_jobs(redis_url, redis, 600)
    # A job may begin before its worker has come to say so.
    (busy,) = wait_until(
        lambda: [p for p in inside(first) if "Forked" in " ".join(command_of(p))],
        what="the busy worker",
    )
    busy.kill()
    wait_until(lambda: len(failures(redis)) == 1, what="the burial")
    wait_until(lambda: redis.scard("resque:workers") == 2, what="another worker")
