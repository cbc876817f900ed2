"""Jobs that are tried again: each notes its attempts, and then does what is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import redis

import resqued
from tests.support.jobs import note

QUICK = resqued.Retry(4, delay=0)
DEATHS = (resqued.DirtyExit, resqued.JobTimeout, resqued.MemoryLimitExceeded)


def attempt() -> int:
    """Return the number of the attempt that runs."""
    job = resqued.current_job()
    assert job is not None
    return job.attempt


def exhausted(error: BaseException, *args: Any) -> None:
    note("exhausted", f"{type(error).__name__} {attempt()} {args}")


@resqued.job(queue="default", name="Flaky", retry=QUICK)
def flaky(number: int, good: int) -> None:
    """Fail until the attempt with the number `good`."""
    note("attempts", f"{number} {attempt()}")
    if attempt() < good:
        raise ConnectionError(f"attempt {attempt()}")
    note("runs", number)


@resqued.job(
    queue="default",
    name="Doomed",
    retry=resqued.Retry(
        2,
        delay=0,
        on=(ConnectionError,),
        unless=(BrokenPipeError,),
        on_exhausted=exhausted,
    ),
)
def doomed(kind: str) -> None:
    """Raise what is asked for, each time."""
    note("attempts", f"{kind} {attempt()}")
    raise {"reset": ConnectionResetError, "pipe": BrokenPipeError, "value": ValueError}[
        kind
    ]("on purpose")


@resqued.job(
    queue="default",
    name="Dying",
    retry=resqued.Retry(2, delay=0, on=DEATHS, on_exhausted=exhausted),
)
def dying(kind: str) -> None:
    """Die by a signal, or exceed a limit, each time."""
    note("attempts", f"{kind} {attempt()}")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


@resqued.job(queue="default", name="Poison", retry=resqued.Retry(9, delay=0, on=DEATHS))
def poison(number: int) -> None:
    """Kill its child."""
    note("attempts", f"{number} {attempt()}")
    os.kill(os.getpid(), signal.SIGKILL)


@resqued.job(queue="default", name="PoisonWorker", on_worker_death="requeue")
def poison_worker(number: int) -> None:
    """Kill its worker."""
    note("attempts", f"{number} {attempt()}")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


@resqued.job(queue="default", name="Own", retry=lambda n: 0 if n < 3 else None)
def own(number: int) -> None:
    """Its delays are those of a function."""
    note("attempts", f"{number} {attempt()}")
    raise ValueError("own")


@resqued.job(queue="default", name="Waits", retry=resqued.Retry(5, delay="1h"))
def waits(number: int) -> None:
    """Fail, and wait for an hour."""
    note("attempts", f"{number} {attempt()}")
    raise ValueError("waits")


@resqued.job(queue="default", name="ByHand")
def by_hand(number: int) -> None:
    """Ask for another attempt by hand, in a job that declares no retry."""
    note("attempts", number)
    raise resqued.RetryLater("1h")


@resqued.job(queue="default", name="ByHandAtOnce")
def by_hand_at_once(number: int) -> None:
    """Ask for two more attempts by hand, in a job that declares no retry."""
    note("attempts", number)
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        if client.llen("attempts") < 3:
            raise resqued.RetryLater(0)
    note("runs", number)


@resqued.job(queue="default", name="ByHandTwice", retry=1)
def by_hand_twice(number: int) -> None:
    """Ask for more attempts than are left."""
    note("attempts", number)
    raise resqued.RetryLater(0)


class OfClass:
    """A job class that declares its retry as an attribute."""

    queue = "default"
    retry = resqued.Retry(1, delay=0)

    @staticmethod
    def perform(number: int) -> None:
        note("attempts", f"{number} {attempt()}")
        raise ValueError("of class")


@resqued.job(queue="default", name="Plain")
def plain(number: int) -> None:
    """Declare nothing; the configuration may."""
    note("attempts", f"{number} {attempt()}")
    raise ValueError("plain")


@resqued.job(queue="default", name="Lethal", on_worker_death="requeue")
def lethal(number: int, good: int) -> None:
    """Kill the worker until the attempt with the number `good`."""
    _kill_worker(number, good)


@resqued.job(queue="default", name="LethalWithFamily", on_worker_death="requeue")
def lethal_with_family(number: int, good: int) -> None:
    """The same, with processes that must be dead before the job is put back."""
    if attempt() < good:
        for _ in range(80):
            subprocess.Popen(["sleep", "600"])
    _kill_worker(number, good)


@resqued.job(
    queue="default",
    name="LethalTwice",
    on_worker_death="retry",
    retry=resqued.Retry(1, delay=0),
)
def lethal_twice(number: int, good: int) -> None:
    _kill_worker(number, good)


@resqued.job(queue="low", name="LethalByQueue")
def lethal_by_queue(number: int, good: int) -> None:
    _kill_worker(number, good)


def _kill_worker(number: int, good: int) -> None:
    note("attempts", f"{number} {attempt()}")
    if attempt() < good:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    note("runs", number)
