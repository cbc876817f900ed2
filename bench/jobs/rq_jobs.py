"""Pushes jobs with RQ. Its worker imports `marks` by the jobs' dotted names."""

import marks
from rq import Queue

_queue = Queue("bench", connection=marks.client())


def push(job: str, *args: str) -> None:
    """Push one job."""
    _queue.enqueue(marks.JOBS[job], *args)


def push_many(count: int) -> None:
    """Push no-op jobs by `Queue.enqueue_many`, which is one pipeline."""
    _queue.enqueue_many([Queue.prepare_data(marks.noop) for _ in range(count)])


def backlog() -> int:
    """Return the number of jobs that are queued or started."""
    return _queue.count + _queue.started_job_registry.count
