"""Jobs for the tests: each tells Redis that it ran, then does what its name says."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis

import resqued


def note(key: str, value: Any) -> None:
    """Tell the test something, through the Redis under test."""
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush(key, str(value))


@resqued.job(queue="default", name="Run")
def run(number: int) -> None:
    """Tell that it ran, with its number."""
    note("runs", number)


@resqued.job(queue="default", name="Noop")
def noop(*_: Any) -> None:
    """Do nothing, at full speed."""


@resqued.job(queue="default", name="Fail")
def fail(number: int) -> None:
    note("runs", number)
    raise ValueError(f"failed on purpose: {number}")


@resqued.job(queue="default", name="Sleep")
def sleep(seconds: float, number: int = 0) -> None:
    note("started", number or os.getpid())
    time.sleep(seconds)
    note("runs", number)


@resqued.job(queue="default", name="Nap")
def nap(seconds: float) -> None:
    """Sleep, and tell of the beginning only."""
    note("started", os.getpid())
    time.sleep(seconds)


@resqued.job(queue="default", name="Until")
def until(path: str, number: int = 0) -> None:
    """Continue until there is a file; tell of the end if there is a number."""
    note("started", number or os.getpid())
    while not Path(path).exists():
        time.sleep(0.01)
    if number:
        note("runs", number)


@resqued.job(queue="default", name="Deaf")
def deaf(seconds: float) -> None:
    """Take no notice of SIGTERM, nor of what it raises."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("started", os.getpid())
    time.sleep(seconds)


@resqued.job(queue="default", name="SwallowTerm")
def swallow(seconds: float) -> None:
    """Catch whatever is raised inside, and be done."""
    try:
        # Inside, as the signal may come as soon as the note is there.
        note("started", os.getpid())
        time.sleep(seconds)
    except resqued.JobTerminated:
        note("runs", "swallowed")


@resqued.job(queue="default", name="Family")
def family(seconds: float) -> None:
    """Start processes of every kind that survives a careless kill."""
    shell = f"trap '' TERM; sleep {seconds} & echo $!; wait"
    pids = []
    for command in (
        ["sleep", str(seconds)],
        ["setsid", "sleep", str(seconds)],
        ["sh", "-c", shell],
    ):
        started = subprocess.Popen(command, stdout=subprocess.PIPE)
        pids.append(started.pid)
        if command[0] == "sh" and started.stdout is not None:
            pids.append(int(started.stdout.readline()))
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            os.execvp("sleep", ["sleep", str(seconds)])
        os.write(write, str(daemon).encode())
        os._exit(0)
    os.wait3(0)
    pids.append(int(os.read(read, 20)))
    note("family", " ".join(map(str, pids)))
    time.sleep(seconds)


@resqued.job(queue="default", name="Die")
def die(number: int) -> None:
    """Die by a signal."""
    os.kill(os.getpid(), number)
    time.sleep(10)


@resqued.job(queue="default", name="Leave")
def leave(status: int) -> None:
    """Leave without going back."""
    os._exit(status)


@resqued.job(queue="default", name="Raise")
def raise_(name: str) -> None:
    """Raise what is no Exception."""
    if name == "SystemExit":
        sys.exit(3)
    raise {"KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}[name]


@resqued.job(queue="default", name="Fork")
def fork() -> None:
    """Fork, and return in both processes."""
    os.fork()


@resqued.job(queue="default", name="Buffered")
def buffered() -> None:
    """Leave something in every kind of buffer."""
    print("printed and not flushed", end="")
    target = logging.FileHandler("records")
    handler = logging.handlers.MemoryHandler(100, logging.CRITICAL, target)
    logging.getLogger("tests.buffered").addHandler(handler)
    logging.getLogger("tests.buffered").warning("logged and kept")


class _NeverFlushed(logging.StreamHandler):  # type: ignore[type-arg]
    def flush(self) -> None:
        time.sleep(60)


@resqued.job(queue="default", name="HangsAtTheEnd")
def hangs_at_the_end() -> None:
    """Leave a log handler behind that does not come to an end."""
    logging.getLogger("tests.hangs").addHandler(_NeverFlushed())


class Archive:
    """A job in the original's form, found by its path."""

    queue = "default"

    @staticmethod
    def perform(number: int) -> None:
        note("runs", number)
