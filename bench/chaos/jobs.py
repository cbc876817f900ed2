"""Jobs that tell a witness when they begin and end, and some that do harm.

Loaded by the pool under fault. The witness is a second server, which no fault
touches: what it was told is what happened.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import redis

import resqued

WITNESS = "CHAOS_WITNESS_URL"
PIPE_SIZE = 1 << 16


def _tell(*commands: tuple[str, ...]) -> None:
    with redis.Redis.from_url(os.environ[WITNESS]) as witness:
        pipe = witness.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        pipe.execute()


def begin(number: int) -> None:
    """Tell that a job begins, and in which process."""
    _tell(
        ("HINCRBY", "started", str(number), "1"),
        ("HSET", "running", str(number), str(os.getpid())),
    )


def end(number: int) -> None:
    """Tell that a job has come to its end."""
    _tell(("HDEL", "running", str(number)), ("HINCRBY", "ended", str(number), "1"))


@resqued.job(queue="default", name="Work")
def work(number: int, seconds: float) -> None:
    """Take some time."""
    begin(number)
    time.sleep(seconds)
    end(number)


@resqued.job(queue="default", name="KillWorker")
def kill_worker(number: int) -> None:
    """Kill the worker that runs it."""
    begin(number)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@resqued.job(queue="default", name="KillGroup")
def kill_group(number: int) -> None:
    """Kill every process of its own group."""
    begin(number)
    os.killpg(0, signal.SIGKILL)
    time.sleep(60)


@resqued.job(queue="default", name="FillPipe")
def fill_pipe(number: int) -> None:
    """Write to whatever pipe it finds until nothing more goes in."""
    begin(number)
    for fd in _pipes():
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        written = 0
        while written < 4 * PIPE_SIZE and poll.poll(200):
            written += os.write(fd, b"x" * 4096)
    end(number)


@resqued.job(queue="default", name="GarblePipe")
def garble_pipe(number: int) -> None:
    """Write what looks like an outcome, and is none."""
    begin(number)
    for fd in _pipes():
        os.write(fd, struct.pack("!I", 8) + b"\xff{[(rub!")
    time.sleep(0.2)
    end(number)


@resqued.job(queue="default", name="Verbose")
def verbose(number: int) -> None:
    """Fail with a message that no pipe holds."""
    begin(number)
    raise ValueError("x" * 64 * PIPE_SIZE)


def _pipes() -> Iterator[int]:
    """Yield the descriptors of this process that write to pipes, its output aside."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no open directory
        fd = int(name)
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
            flags = Path(f"/proc/self/fdinfo/{fd}").read_text().split()
        except OSError:
            continue  # that of the listing itself
        mode = int(flags[flags.index("flags:") + 1], 8) & os.O_ACCMODE
        if fd > 2 and is_pipe and mode == os.O_WRONLY:
            yield fd
