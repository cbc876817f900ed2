"""Jobs that record their begin and end with a witness, and jobs that do harm.

The application of the pool under fault. The witness is a second Redis server, which no
fault affects, so its records are reliable.
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


def _record(*commands: tuple[str, ...]) -> None:
    with redis.Redis.from_url(os.environ[WITNESS]) as witness:
        pipe = witness.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        pipe.execute()


def begin(number: int) -> None:
    """Record that a job begins, when (monotonic), and the pid of its process."""
    _record(
        ("RPUSH", "begins", f"{number} {time.monotonic()}"),
        ("HINCRBY", "started", str(number), "1"),
        ("HSET", "running", str(number), str(os.getpid())),
    )


def end(number: int) -> None:
    """Record that a job has ended, and when (monotonic)."""
    _record(
        ("RPUSH", "ends", f"{number} {time.monotonic()}"),
        ("HDEL", "running", str(number)),
        ("HINCRBY", "ended", str(number), "1"),
    )


@resqued.job(queue="default", name="Work")
def work(number: int, seconds: float) -> None:
    """Sleep for some seconds."""
    begin(number)
    time.sleep(seconds)
    end(number)


@resqued.job(
    queue="default",
    name="Again",
    retry=resqued.Retry(
        4, delay=0.5, on=(ConnectionError, resqued.DirtyExit, resqued.JobTerminated)
    ),
    on_worker_death="retry",
)
def again(number: int, good: int, seconds: float) -> None:
    """Fail until the attempt with the number `good`; five attempts at most."""
    begin(number)
    time.sleep(seconds)
    job = resqued.current_job()
    if job is None or job.attempt < good:
        raise ConnectionError(f"attempt of job {number}")
    end(number)


@resqued.job(
    queue="default",
    name="Requeue",
    retry=resqued.Retry(100, delay=0, on=(resqued.DirtyExit, resqued.JobTerminated)),
    on_worker_death="requeue",
)
def requeue(number: int, seconds: float) -> None:
    """Sleep for some seconds; it is begun again until it has been performed."""
    begin(number)
    time.sleep(seconds)
    end(number)


@resqued.job(queue="default", name="KillWorker")
def kill_worker(number: int) -> None:
    """Kill its worker."""
    begin(number)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@resqued.job(queue="default", name="KillGroup")
def kill_group(number: int) -> None:
    """Kill every process of its process group."""
    begin(number)
    os.killpg(0, signal.SIGKILL)
    time.sleep(60)


@resqued.job(queue="default", name="FillPipe")
def fill_pipe(number: int) -> None:
    """Write to every pipe of its process until the pipe is full."""
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
    """Write a malformed report to every pipe of its process."""
    begin(number)
    for fd in _pipes():
        os.write(fd, struct.pack("!I", 8) + b"\xff{[(rub!")
    time.sleep(0.2)
    end(number)


@resqued.job(queue="default", name="Verbose")
def verbose(number: int) -> None:
    """Fail with a message that is larger than the buffer of a pipe."""
    begin(number)
    raise ValueError("x" * 64 * PIPE_SIZE)


def _pipes() -> Iterator[int]:
    """Yield the descriptors of this process that write to pipes, without its output."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no open directory
        fd = int(name)
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
            flags = Path(f"/proc/self/fdinfo/{fd}").read_text().split()
        except OSError:
            continue  # the descriptor of the listing itself
        mode = int(flags[flags.index("flags:") + 1], 8) & os.O_ACCMODE
        if fd > 2 and is_pipe and mode == os.O_WRONLY:
            yield fd
