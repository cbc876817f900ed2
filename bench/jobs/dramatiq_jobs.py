"""The Dramatiq actors, and functions that push their jobs. Default middleware."""

import logging
import os

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker

# The worker runs with --skip-logging, so the level is set here.
logging.basicConfig(level=logging.WARNING)

QUEUE = "bench"

broker = RedisBroker(url=os.environ["BENCH_REDIS_URL"])
dramatiq.set_broker(broker)

ACTORS = {
    name: dramatiq.actor(function, queue_name=QUEUE)
    for name, function in marks.JOBS.items()
}


def push(job: str, *args: str) -> None:
    """Push one job."""
    ACTORS[job].send(*args)


def push_many(count: int) -> None:
    """Push no-op jobs by `group`, Dramatiq's call for many; it sends one by one."""
    noop = ACTORS["noop"]
    dramatiq.group(noop.message() for _ in range(count)).run()


def backlog() -> int:
    """Return the number of jobs that are queued, or that no worker has acknowledged."""
    return broker.do_qsize(QUEUE)
