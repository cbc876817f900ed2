"""Resque in Python, with the daemon that Resque never had.

What an application uses: declare jobs, put them on queues, look after queues,
workers and failures. The functions here use a default client; make a Client for
another Redis or namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from resqued.client import (
    Client,
    Worker,
    configure,
    default_client,
    enqueue,
    enqueue_to,
)
from resqued.core.version import VERSION
from resqued.errors import (
    ArgumentError,
    ConfigError,
    JobClassError,
    JobTerminated,
    JobTimeout,
    MemoryLimitExceeded,
    PayloadError,
    ResquedError,
    StoreError,
)
from resqued.jobs.declare import Job, job
from resqued.store.failures import Failure, Failures
from resqued.wire.naming import JobLike
from resqued.wire.payload import Payload

__all__ = [
    "ArgumentError",
    "Client",
    "ConfigError",
    "Failure",
    "Failures",
    "Job",
    "JobClassError",
    "JobTerminated",
    "JobTimeout",
    "MemoryLimitExceeded",
    "Payload",
    "PayloadError",
    "ResquedError",
    "StoreError",
    "Worker",
    "__version__",
    "configure",
    "default_client",
    "dequeue",
    "enqueue",
    "enqueue_many",
    "enqueue_to",
    "failures",
    "info",
    "job",
    "peek",
    "pop",
    "push",
    "queue_sizes",
    "queues",
    "remove_queue",
    "reserve",
    "size",
    "workers",
    "working",
]

__version__ = VERSION


def enqueue_many(
    jobs: Iterable[Sequence[Any]],
    *,
    job: JobLike | None = None,
    queue: str | None = None,
) -> int:
    """Put many jobs in few round trips; see Client.enqueue_many."""
    return default_client().enqueue_many(jobs, job=job, queue=queue)


def dequeue(job: JobLike, *args: Any, queue: str | None = None) -> int:
    """Remove jobs from a queue; see Client.dequeue."""
    return default_client().dequeue(job, *args, queue=queue)


def push(queue: str, item: object) -> None:
    """Put any JSON value on a queue; see Client.push."""
    default_client().push(queue, item)


def pop(queue: str) -> Any:
    """Take the next element of a queue; see Client.pop."""
    return default_client().pop(queue)


def peek(queue: str, start: int = 0, count: int = 1) -> list[Any]:
    """Look at elements of a queue; see Client.peek."""
    return default_client().peek(queue, start, count)


def reserve(queue: str) -> Payload | None:
    """Take the next job off a queue; see Client.reserve."""
    return default_client().reserve(queue)


def size(queue: str) -> int:
    """Return how many jobs wait in a queue."""
    return default_client().size(queue)


def queues() -> list[str]:
    """Return the names of all queues, sorted."""
    return default_client().queues()


def queue_sizes() -> dict[str, int]:
    """Return every queue with its length."""
    return default_client().queue_sizes()


def remove_queue(queue: str) -> int:
    """Remove a queue with the jobs in it; answer how many there were."""
    return default_client().remove_queue(queue)


def workers() -> list[Worker]:
    """Return every registered worker."""
    return default_client().workers()


def working() -> list[Worker]:
    """Return the workers that run a job now."""
    return default_client().working()


def info() -> dict[str, Any]:
    """Return the figures of the whole."""
    return default_client().info()


def failures() -> Failures:
    """Return the list of failures of the default client."""
    return default_client().failures
