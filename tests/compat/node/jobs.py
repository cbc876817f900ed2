"""The jobs as our workers run them; the same ones for node-resque are in jobs.js."""

from __future__ import annotations

import json
import os
from typing import Any

import redis

import resqued


def connect() -> redis.Redis:
    return redis.Redis.from_url(os.environ["COMPAT_REDIS_URL"], socket_timeout=None)


def note(name: str, args: tuple[Any, ...]) -> None:
    with connect() as server:
        entry = {"by": "python", "worker": os.getppid(), "args": args}
        server.rpush(name, json.dumps(entry))


@resqued.job(queue="mixed", name="Record")
def record(*args: Any) -> None:
    """Tell that it ran, and with what."""
    note("ran", args)


@resqued.job(queue="mixed", name="Hold")
def hold(*args: Any) -> None:
    """Tell that it runs, and continue until the test releases it."""
    note("held", args)
    with connect() as server:
        if not server.blpop("release", timeout=60):
            raise TimeoutError("nobody released this job")
    note("ran", args)


@resqued.job(queue="mixed", name="Fail")
def fail(*args: Any) -> None:
    note("ran", args)
    raise ValueError(args[0])


@resqued.job(queue="mixed", name="FailOnce")
def fail_once(*args: Any) -> None:
    """Fail the first time."""
    with connect() as server:
        if server.setnx("failed-once", "yes"):
            raise LookupError(args[0])
    note("ran", args)
