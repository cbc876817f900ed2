"""Signals to the master and to anybody else, at good moments and at random ones."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.asking import ask
from tests.support.daemon import Daemon
from tests.support.pool import count, failures, left_over, pool, runs, waiting
from tests.support.processes import is_alive, title
from tests.support.wait import scaled, wait_until

SECONDS = 60


def busy_child(redis: redis_py.Redis) -> int:
    """Return the pid of the child that runs a Sleep or Deaf job."""
    found = redis.blpop(["started"], timeout=scaled(60))
    assert found, "no job has started"
    return int(found[1])


def test_quit_waits_for_the_job_in_hand(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path) as running:
        client.enqueue_to("default", "Until", str(tmp_path / "go"))
        busy_child(redis)
        client.enqueue_to("default", "Run", 1)
        (worker,) = running.workers()
        running.signal(signal.SIGQUIT)
        wait_until(lambda: "Quitting" in title(worker), what="the worker to hear of it")
        (tmp_path / "go").touch()
        assert running.wait() == 0
    assert count(redis, "processed") == 1
    assert count(redis, "failed") == 0
    assert waiting(redis) == 1
    assert left_over(redis) == {b"resque:queue:default"}


def test_quit_ends_the_job_in_hand_after_the_stop_timeout(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, "--stop-timeout", "1s") as running:
        resqued.Client(redis_url).enqueue_to("default", "Sleep", SECONDS)
        busy_child(redis)
        running.signal(signal.SIGQUIT)
        assert running.wait() == 0
        (event,) = running.events("stop_timeout_exceeded")
        assert event["seconds"] == 1
    (entry,) = failures(redis)
    assert entry["exception"] == "Resque::TermException"
    assert "told to finish, and stop_timeout has passed" in entry["error"]
    assert left_over(redis) == set()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 5])
def test_term_ends_the_running_job_and_records_it(
    signum: signal.Signals,
    times: int,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
) -> None:
    with pool(redis_url, tmp_path) as running:
        resqued.Client(redis_url).enqueue_to("default", "Sleep", SECONDS)
        busy_child(redis)
        for _ in range(times):
            running.signal(signum)
        assert running.wait() == 0
    (entry,) = failures(redis)
    assert entry["exception"] == "Resque::TermException"
    assert entry["error"].startswith("SIGTERM")
    assert (count(redis, "processed"), count(redis, "failed")) == (1, 1)
    assert left_over(redis) == set()


def test_term_to_every_process_at_once_records_the_job_once(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, workers=2) as running:
        resqued.Client(redis_url).enqueue_to("default", "Sleep", SECONDS)
        busy_child(redis)
        for process in running.processes():
            # Those that heard of it first may have taken others with them.
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        assert running.wait() == 0
    (entry,) = failures(redis)
    assert "SIGTERM" in entry["error"]
    assert (count(redis, "processed"), count(redis, "failed")) == (1, 1)
    assert left_over(redis) == set()


def test_a_job_that_ignores_term_is_killed_after_the_grace(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, "--grace", "300ms") as running:
        resqued.Client(redis_url).enqueue_to("default", "Deaf", SECONDS)
        busy_child(redis)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    (entry,) = failures(redis)
    assert entry["exception"] == "Resque::DirtyExit"
    assert "SIGKILL (signal 9)" in entry["error"]
    assert "told to terminate" in entry["error"]


def test_a_job_that_swallows_its_termination_has_succeeded(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as running:
        resqued.Client(redis_url).enqueue_to("default", "SwallowTerm", SECONDS)
        busy_child(redis)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    assert failures(redis) == []
    assert count(redis, "processed") == 1


def test_usr1_drops_the_child_and_the_worker_goes_on(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path) as running:
        client.enqueue_to("default", "Sleep", SECONDS)
        busy_child(redis)
        workers = running.workers()
        client.enqueue_to("default", "Run", 7)
        running.signal(signal.SIGUSR1)
        wait_until(lambda: runs(redis)["7"], what="the next job")
        assert running.workers() == workers
    (entry,) = failures(redis)
    assert "SIGUSR1" in entry["error"]
    assert count(redis, "processed") == 2


def test_usr1_ends_everything_that_the_job_has_started(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, "--grace", "500ms") as running:
        resqued.Client(redis_url).enqueue_to("default", "Family", SECONDS)
        found = redis.blpop(["family"], timeout=scaled(60))
        assert found
        family = [psutil.Process(int(pid)) for pid in found[1].split()]
        assert len(family) == 5
        running.signal(signal.SIGUSR1)
        wait_until(lambda: count(redis, "processed"), what="the job to be recorded")
        # A job that is reported failed is not still running.
        assert list(filter(is_alive, family)) == []
    assert len(failures(redis)) == 1


def test_a_killed_worker_takes_everything_with_it_that_its_job_has_started(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as running:
        resqued.Client(redis_url).enqueue_to("default", "Family", SECONDS)
        found = redis.blpop(["family"], timeout=scaled(60))
        assert found
        family = [psutil.Process(int(pid)) for pid in found[1].split()]
        # The master goes by what the worker has told of its child.
        wait_until(lambda: ask(running, do="status")["workers"][0]["child"])
        os.kill(running.workers()[0], signal.SIGKILL)
        wait_until(lambda: count(redis, "processed"), what="the job to be recorded")
        assert list(filter(is_alive, family)) == []
        wait_until(lambda: redis.scard("resque:workers") == 1, what="a new worker")
    assert len(failures(redis)) == 1


def test_pause_and_resume(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path, workers=2) as running:
        running.wait_for_event("master_ready")
        running.signal(signal.SIGUSR2)
        wait_until(
            lambda: (
                [title(pid).endswith("Paused") for pid in running.workers()]
                == [True, True]
            ),
            what="both workers to show that they are paused",
        )
        client.enqueue_to("default", "Run", 1)
        # A worker that is spawned into a paused pool is paused as well.
        os.kill(running.workers()[0], signal.SIGKILL)
        running.wait_for_event("worker_spawned", count=3)
        wait_until(
            lambda: (
                [title(pid).endswith("Paused") for pid in running.workers()]
                == [True, True]
            ),
            what="the new worker to be paused too",
        )
        assert runs(redis)["1"] == 0
        running.signal(signal.SIGCONT)
        wait_until(lambda: runs(redis)["1"], what="the job to run")


def test_the_pause_key_holds_every_worker(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    redis.set("resque:pause-all-workers", " TRUE ")
    with pool(redis_url, tmp_path) as running:
        running.wait_for_event("master_ready")
        client.enqueue_to("default", "Run", 1)
        wait_until(
            lambda: "Paused" in title(running.workers()[0]), what="the title to say so"
        )
        assert waiting(redis) == 1
        redis.delete("resque:pause-all-workers")
        wait_until(lambda: runs(redis)["1"], what="the job to run")


def test_signals_for_the_master_alone_change_nothing_in_a_worker(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, workers=2) as running:
        running.wait_for_event("master_ready")
        before = (running.zygotes(), running.workers())
        for process in running.processes():
            if process.pid != running.pid:
                for signum in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
                    # The one that a zygote forks through may just be leaving.
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(signum)
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="the job to run")
        assert (running.zygotes(), running.workers()) == before


# SIGQUIT would end the test early; SIGSTOP nobody can do anything about.
TO_MASTER = [
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
]
TO_OTHERS = [
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGKILL,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGHUP,
]


def test_hundreds_of_signals_at_random_lose_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    # A thousand and more: make chaos, signal-storm.
    jobs, signals = 2_000, 300
    chance = random.Random(20260101)
    with pool(redis_url, tmp_path, workers=4) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_many(
            ([n] for n in range(jobs)), job="Noop", queue="default"
        )
        for _ in range(signals):
            send_one(running, chance)
            # Any moment of a job of a few ms must have its turn.
            done = count(redis, "processed")
            wait_until(lambda done=done: moved(redis, done, chance))
        for process in running.processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    assert count(redis, "processed") + waiting(redis) == jobs
    assert count(redis, "failed") == redis.llen("resque:failed")
    assert "Traceback" not in running.log()
    assert left_over(redis) <= {b"resque:queue:default"}


def send_one(running: Daemon, chance: random.Random) -> None:
    """Send a random signal to a random process of the daemon."""
    # Not Daemon.processes, which looks for orphans of all who ever lived.
    master = psutil.Process(running.pid)
    all_processes = [master, *master.children(recursive=True)]
    target = chance.choice(all_processes)
    choice = TO_MASTER if target.pid == running.pid else TO_OTHERS
    with suppress(psutil.Error):
        target.send_signal(chance.choice(choice))
    if chance.random() < 0.2:
        # Those that were paused must not stay so: the moments would be dull.
        for process in all_processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)


def moved(redis: redis_py.Redis, done: int, chance: random.Random) -> bool:
    """Say whether a job has ended since; now and then do not wait for it."""
    return count(redis, "processed") > done or chance.random() < 0.3
