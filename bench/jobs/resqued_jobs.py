"""Pushes jobs with resqued, and without it: by the two commands that any other client
of Redis would send.
"""

import json
import os

import marks
import noop_jobs

import resqued

QUEUE = "bench"
KEY = f"resque:queue:{QUEUE}"

JOBS = {"noop": noop_jobs.noop, "mark": noop_jobs.mark}
NAMES = {"noop": "Noop", "mark": "Mark"}

_client = resqued.Client(os.environ["BENCH_REDIS_URL"])


def push(job: str, *args: str) -> None:
    """Push one job."""
    _client.enqueue_to(QUEUE, JOBS[job], *args)


def push_many(count: int) -> None:
    """Push no-op jobs by `Client.enqueue_many`."""
    _client.enqueue_many((noop_jobs.noop,) for _ in range(count))


def push_raw(job: str, *args: str) -> None:
    """Push one job as redis-cli would: RPUSH, then SADD, as separate commands."""
    payload = json.dumps({"class": NAMES[job], "args": args}, separators=(",", ":"))
    marks.client().rpush(KEY, payload)
    marks.client().sadd("resque:queues", QUEUE)


def backlog() -> int:
    """Return the number of queued jobs. The end mark is the last job, so no worker
    holds one.
    """
    return marks.client().llen(KEY)
