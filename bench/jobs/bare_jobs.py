"""Pushes jobs for the bare loop, with redis-py alone."""

import json

import marks

QUEUE = "bare:queue"

# The commands of one pipeline; more would only cost memory.
BATCH = 1000


def payload(job: str, *args: str) -> bytes:
    """Return a job as JSON, in Resque's format."""
    return json.dumps({"class": job, "args": args}, separators=(",", ":")).encode()


def push(job: str, *args: str) -> None:
    """Push one job."""
    marks.client().rpush(QUEUE, payload(job, *args))


def push_many(count: int) -> None:
    """Push no-op jobs in pipelines."""
    for done in range(0, count, BATCH):
        pipeline = marks.client().pipeline(transaction=False)
        for _ in range(min(BATCH, count - done)):
            pipeline.rpush(QUEUE, payload("noop"))
        pipeline.execute()


def backlog() -> int:
    """Return the number of jobs in the queue."""
    return marks.client().llen(QUEUE)
