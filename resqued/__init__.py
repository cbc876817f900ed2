"""Resque in Python, with the daemon that Resque never had.

What an application uses: declare jobs, put them on queues, look after queues,
workers and failures. The functions here use a default client; make a Client for
another Redis or namespace. Each function is the method of Client of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ParamSpec, overload

from resqued import hook, plugin
from resqued.client import Client, configure, default_client
from resqued.core.durations import Duration, Size
from resqued.core.version import VERSION
from resqued.errors import (
    ArgumentError,
    ConfigError,
    DirtyExit,
    DontPerform,
    JobClassError,
    JobTerminated,
    JobTimeout,
    LintError,
    MemoryLimitExceeded,
    ObjectNotFoundError,
    PayloadError,
    QueueNameError,
    ResquedError,
    RetryLater,
    StoreError,
)
from resqued.hooks.job_info import JobInfo, current_job
from resqued.jobs.declare import Job, job
from resqued.jobs.later import allow_later, later
from resqued.jobs.recurrence import cron, every
from resqued.retries.policy import Retry
from resqued.scheduler.delayed_client import AnyJob, Arguments
from resqued.store.bulk import BulkProgress
from resqued.store.delayed import DelayedJob, DelayedJobs
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.store.failures import Failures
from resqued.store.quarantine import Quarantine, QuarantinedJob
from resqued.store.reports import Info, QueuedJob, RunningJob, Status, Worker
from resqued.wire.naming import ClassJob, FunctionJob
from resqued.wire.payload import Payload

__all__ = [
    "ArgumentError",
    "BulkProgress",
    "Client",
    "ConfigError",
    "DelayedJob",
    "DelayedJobs",
    "DirtyExit",
    "DontPerform",
    "Duration",
    "Failure",
    "FailureFilter",
    "Failures",
    "Info",
    "Job",
    "JobClassError",
    "JobInfo",
    "JobTerminated",
    "JobTimeout",
    "LintError",
    "MemoryLimitExceeded",
    "ObjectNotFoundError",
    "Payload",
    "PayloadError",
    "Quarantine",
    "QuarantinedJob",
    "QueueNameError",
    "QueuedJob",
    "ResquedError",
    "Retry",
    "RetryLater",
    "RunningJob",
    "Size",
    "Status",
    "StoreError",
    "Worker",
    "__version__",
    "allow_later",
    "cancel_delayed",
    "configure",
    "cron",
    "current_job",
    "default_client",
    "delayed",
    "dequeue",
    "enqueue",
    "enqueue_at",
    "enqueue_at_with_queue",
    "enqueue_in",
    "enqueue_in_with_queue",
    "enqueue_many",
    "enqueue_many_later",
    "enqueue_to",
    "every",
    "failures",
    "find_delayed",
    "hook",
    "info",
    "job",
    "later",
    "peek",
    "plugin",
    "pop",
    "push",
    "queue_sizes",
    "queues",
    "remove_queue",
    "reserve",
    "run_delayed",
    "size",
    "workers",
    "working",
]

__version__ = VERSION

P = ParamSpec("P")


def enqueue(
    job: FunctionJob[P] | ClassJob[P], /, *args: P.args, **kwargs: P.kwargs
) -> bool:
    """Put a job on its own queue; return True when Redis has it.

    Returns False if a before_enqueue hook has refused the job. Keyword arguments
    are put at their position, because a payload has positions alone; a parameter
    left out before one of them gets its default. Raises ArgumentError if the
    arguments do not fit the job, JSON cannot hold one, or the payload is longer
    than `max_payload`, JobClassError if the job has no name or no queue, and
    StoreError if Redis did not confirm the job: it may be on the queue all the
    same. With `inline`, what the job raises comes out too.
    """
    return default_client().enqueue(job, *args, **kwargs)


@overload
def enqueue_to(
    queue: str,
    job: FunctionJob[P] | ClassJob[P],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> bool: ...
@overload
def enqueue_to(queue: str, job: str, /, *args: Any) -> bool: ...
def enqueue_to(queue: str, job: Any, /, *args: Any, **kwargs: Any) -> bool:
    """Put a job on the queue that is named; return True when Redis has it.

    The job may be the name of a class, in any language: its arguments are not
    checked and cannot be given by keyword. Raises what enqueue raises, and
    QueueNameError if the queue is empty, not a str, or no plain name (`a,b`, `*`).
    """
    return default_client().enqueue_to(queue, job, *args, **kwargs)


def enqueue_many(
    jobs: Iterable[Arguments],
    *,
    job: AnyJob | None = None,
    queue: str | None = None,
) -> int:
    """Put many jobs on queues in few round trips; return how many.

    Each item is a tuple or list: `(job, *args)`, or the arguments alone if `job`
    is given. Each job goes to `queue`, or to its own queue if `queue` is None.
    Items are read and sent in batches of 1,000, so a generator of millions is
    fine. Raises what enqueue raises; the batches before the error are on their
    queues then.
    """
    return default_client().enqueue_many(jobs, job=job, queue=queue)


def enqueue_in(
    delay: Duration,
    job: FunctionJob[P] | ClassJob[P],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> bool:
    """Have a job wait for `delay`, and go to its own queue then; return True.

    `delay` is in seconds, or a text such as "10m", or a timedelta. The clock is
    that of the server; the job goes to its queue at the next whole second. Raises
    what enqueue raises, and ArgumentError for a delay that is none. With `inline`
    the job runs at once. Returns False if a before_schedule hook has refused.
    """
    return default_client().enqueue_in(delay, job, *args, **kwargs)


def enqueue_at(
    when: datetime,
    job: FunctionJob[P] | ClassJob[P],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> bool:
    """Have a job wait until `when`, and go to its own queue then; return True.

    `when` has a time zone; a time that has passed puts the job on its queue at
    once. Raises what enqueue_in raises, and ArgumentError for a time without a
    zone.
    """
    return default_client().enqueue_at(when, job, *args, **kwargs)


@overload
def enqueue_in_with_queue(
    queue: str,
    delay: Duration,
    job: FunctionJob[P] | ClassJob[P],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> bool: ...
@overload
def enqueue_in_with_queue(
    queue: str, delay: Duration, job: str, /, *args: Any
) -> bool: ...
def enqueue_in_with_queue(
    queue: str, delay: Duration, job: Any, /, *args: Any, **kwargs: Any
) -> bool:
    """Do as enqueue_in, for the queue that is named.

    The job may be the name of a class, in any language, as for enqueue_to.
    """
    return default_client().enqueue_in_with_queue(queue, delay, job, *args, **kwargs)


@overload
def enqueue_at_with_queue(
    queue: str,
    when: datetime,
    job: FunctionJob[P] | ClassJob[P],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> bool: ...
@overload
def enqueue_at_with_queue(
    queue: str, when: datetime, job: str, /, *args: Any
) -> bool: ...
def enqueue_at_with_queue(
    queue: str, when: datetime, job: Any, /, *args: Any, **kwargs: Any
) -> bool:
    """Do as enqueue_at, for the queue that is named.

    The job may be the name of a class, in any language, as for enqueue_to.
    """
    return default_client().enqueue_at_with_queue(queue, when, job, *args, **kwargs)


def enqueue_many_later(
    jobs: Iterable[Arguments],
    *,
    delay: Duration | None = None,
    at: datetime | None = None,
    job: AnyJob | None = None,
    queue: str | None = None,
) -> int:
    """Have many jobs wait, for `delay` or until `at`; return how many.

    Items, `job` and `queue` are those of enqueue_many. Raises what enqueue_many
    raises, and ArgumentError unless exactly one of `delay` and `at` is given.
    """
    return default_client().enqueue_many_later(
        jobs, delay=delay, at=at, job=job, queue=queue
    )


def find_delayed(
    job: AnyJob, /, *args: Any, queue: str | None = None
) -> list[DelayedJob]:
    """Return the delayed jobs of a class, those first that are due first.

    With arguments only those with exactly these. `queue` is the only one that is
    looked at, if it is given. If the queue is known, by `queue` or from the job,
    jobs with arguments are found by their own keys; all others by reading every
    delayed job.
    """
    return default_client().find_delayed(job, *args, queue=queue)


def cancel_delayed(job: AnyJob, /, *args: Any, queue: str | None = None) -> int:
    """Remove the delayed jobs that find_delayed finds; return how many."""
    return default_client().cancel_delayed(job, *args, queue=queue)


def run_delayed(job: AnyJob, /, *args: Any, queue: str | None = None) -> int:
    """Put the delayed jobs that find_delayed finds on their queues; how many."""
    return default_client().run_delayed(job, *args, queue=queue)


def delayed() -> DelayedJobs:
    """Return the delayed jobs of the default client.

    Of a Client of its own, the attribute `delayed` has them.
    """
    return default_client().delayed


def dequeue(job: AnyJob, /, *args: Any, queue: str | None = None) -> int:
    """Remove jobs from a queue; return how many were removed.

    Removes the jobs of this class with exactly these arguments, or all of the
    class if there are no arguments. `queue` is that of the job by default. Returns
    0 if a before_dequeue hook has refused. Raises JobClassError if the job has no
    queue and none is given.
    """
    return default_client().dequeue(job, *args, queue=queue)


def push(queue: str, item: object) -> None:
    """Put a JSON value on a queue, as it is.

    Raises ArgumentError if JSON cannot hold the value, or if its text is longer
    than `max_payload`.
    """
    default_client().push(queue, item)


def pop(queue: str) -> Any:
    """Take the next element off a queue and return its value; None if it is empty.

    The element is gone with the caller: no worker and no record has it. Raises
    PayloadError if the element is not JSON; it is gone all the same.
    """
    return default_client().pop(queue)


def peek(queue: str, start: int = 0, count: int = 1) -> list[QueuedJob | Any]:
    """Return the values of up to `count` elements of a queue, taking none.

    `start` is the position of the first one; position 0 is the next to be taken.
    A job is a QueuedJob. An element that is not JSON is
    returned as bytes.
    """
    return default_client().peek(queue, start, count)


def reserve(queue: str) -> Payload | None:
    """Take the next job off a queue, for the caller to run; None if it is empty.

    The job is lost if the caller ends before it has run it: no worker and no
    record has it. Raises PayloadError if the element is not a job; it is gone all
    the same.
    """
    return default_client().reserve(queue)


def size(queue: str) -> int:
    """Return how many jobs wait in a queue; 0 if there is no such queue."""
    return default_client().size(queue)


def queues() -> list[str]:
    """Return the names of all queues, sorted by their bytes."""
    return default_client().queues()


def queue_sizes() -> dict[str, int]:
    """Return how many jobs wait in each queue, by its name."""
    return default_client().queue_sizes()


def remove_queue(queue: str) -> int:
    """Remove a queue with the jobs in it; return how many jobs there were."""
    return default_client().remove_queue(queue)


def workers() -> list[Worker]:
    """Return every registered worker, of this package, Resque or node-resque."""
    return default_client().workers()


def working() -> list[Worker]:
    """Return the workers that run a job now; `job` of each is a RunningJob."""
    return default_client().working()


def info() -> Info:
    """Return the counters of the namespace; see Info for each of them."""
    return default_client().info()


def failures() -> Failures:
    """Return the failed list of the default client.

    Of a Client of its own, the attribute `failures` is the list.
    """
    return default_client().failures
