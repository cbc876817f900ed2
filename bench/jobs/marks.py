"""The two jobs that every library here runs: one that does nothing, and one that
writes down when it ran.

One module for all, so that what differs between two figures is the library alone.
It imports what a small application would: the client of Redis, and no more.
"""

import os
import time

import redis

MARKS = "bench:marks"

_clients: list[redis.Redis] = []


def client() -> redis.Redis:
    """Answer this process's client, made when it is first asked for: a no-op job
    must not pay for a connection that it does not use.
    """
    if not _clients:
        url = os.environ["BENCH_REDIS_URL"]
        # A blocking pop of the producer's outlasts the default time-out.
        _clients.append(redis.Redis.from_url(url, socket_timeout=None))
    return _clients[0]


def noop() -> None:
    """Do nothing."""


def mark(name: str) -> None:
    """Write down when this job ran.

    The clock is read before the connection is opened, and CLOCK_MONOTONIC is the
    same for all processes of a machine, so two marks can be compared whoever
    wrote them. A list, so that the reader can block on it and need not poll.
    """
    now = time.monotonic_ns()
    client().rpush(MARKS, f"{name} {now}")


JOBS = {"noop": noop, "mark": mark}
