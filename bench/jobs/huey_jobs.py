"""The Huey application, and functions that push its jobs. Settings are the defaults."""

import os

import marks
from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"])

TASKS = {name: huey.task()(function) for name, function in marks.JOBS.items()}


def push(job: str, *args: str) -> None:
    """Push one job."""
    TASKS[job](*args)


def push_many(count: int) -> None:
    """Push no-op jobs by `TaskWrapper.map`, Huey's call for many."""
    TASKS["noop"].map([()] * count)


def backlog() -> int:
    """Return the number of jobs in the queue."""
    return huey.pending_count()
