"""The two jobs that every library runs: one does nothing, one records the time.

All libraries use this module, so that figures differ only by the library. It imports
what a small application would: the client of Redis.
"""

import os
import time

import redis

MARKS = "bench:marks"

_clients: list[redis.Redis] = []


def client() -> redis.Redis:
    """Return this process's client, which is created at the first call: a no-op job
    must not pay for a connection that it does not use.
    """
    if not _clients:
        url = os.environ["BENCH_REDIS_URL"]
        # No time-out: a blocking pop of the producer may exceed the default.
        _clients.append(redis.Redis.from_url(url, socket_timeout=None))
    return _clients[0]


def noop() -> None:
    """Do nothing."""


def mark(name: str) -> None:
    """Record when this job ran, as an element of a list.

    The clock is read before the connection is opened. CLOCK_MONOTONIC is the same for
    all processes of a machine, so marks of different processes can be compared. The
    reader of a list can block on it instead of polling.
    """
    now = time.monotonic_ns()
    client().rpush(MARKS, f"{name} {now}")


JOBS = {"noop": noop, "mark": mark}
