"""The Celery application, and functions that push its jobs. Settings are the defaults,
so no results are kept.
"""

import os

import marks
from celery import Celery, group

QUEUE = "bench"

app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.task_default_queue = QUEUE

TASKS = {name: app.task(name=name)(function) for name, function in marks.JOBS.items()}


def push(job: str, *args: str) -> None:
    """Push one job."""
    TASKS[job].delay(*args)


def push_many(count: int) -> None:
    """Push no-op jobs by `group`, Celery's call for many; it sends them one by one."""
    noop = TASKS["noop"]
    group(noop.s() for _ in range(count)).apply_async()


def backlog() -> int:
    """Return the number of jobs that are queued, or sent and not acknowledged."""
    return marks.client().llen(QUEUE) + marks.client().hlen("unacked")
