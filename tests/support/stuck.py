"""A pool whose jobs do what limits are for, and what they tell of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis as redis_py

from tests.support.daemon import Daemon
from tests.support.pool import failures, pool
from tests.support.wait import wait_until


def stuck_pool(
    url: str,
    tmp_path: Path,
    *args: str,
    env: dict[str, str] | None = None,
    **options: Any,
) -> Daemon:
    """Return a pool with the jobs of tests/support/stuck_jobs.py.

    Its master looks for workers that hang more often than it would.
    """
    env = {"RESQUED_TIMINGS": "inspection_interval=0.5", **(env or {})}
    jobs = ("-a", "tests.support.stuck_jobs")
    return pool(url, tmp_path, *jobs, *args, env=env, **options)


def beginning(client: redis_py.Redis) -> tuple[float, list[int]]:
    """Return when the next job began, and its processes."""
    _, noted = wait_until(lambda: client.blpop(["began"], 1), what="a job to begin")
    at, *pids = noted.decode().split()
    return float(at), [int(pid) for pid in pids]


def failure(client: redis_py.Redis, *, number: int = 1) -> dict[str, Any]:
    """Return the last failure entry, once there are that many."""
    wait_until(lambda: len(failures(client)) >= number, what=f"{number} failures")
    assert len(failures(client)) == number
    return failures(client)[-1]
