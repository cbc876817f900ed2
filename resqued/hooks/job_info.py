"""A job as hooks and the job itself see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from resqued.wire.payload import Payload


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job that runs, is about to run, or is being put on a queue or taken off it."""

    queue: str
    """The queue that the job came from, or goes to."""
    class_name: str
    """The name of the job in its payload."""
    args: tuple[Any, ...] = ()
    """The arguments, by position."""
    attempt: int = 1
    """How often the job has begun, this time included; counted if it has a retry."""
    worker: str = ""
    """The id of the worker; empty outside of a worker, where jobs run inline."""


class _AttemptCount:
    """Which attempt this process runs, and when the first one began.

    Set in a child, for jobs with a retry.
    """

    def __init__(self) -> None:
        self.number = 1
        # On the monotonic clock.
        self.first_at = 0.0


_attempts = _AttemptCount()


def note_attempt(told: bytes) -> None:
    """Note what the worker knows of the attempts of the job, as Attempt encodes it."""
    number, age = told.split() if told else (b"1", b"0")
    _attempts.number = int(number)
    _attempts.first_at = time.monotonic() - float(age)


def age_of_job() -> float:
    """Return how many seconds ago the first attempt of the running job began."""
    return time.monotonic() - _attempts.first_at


# A job that runs inline, in one of several threads.
_inline: ContextVar[JobInfo | None] = ContextVar("resqued_job", default=None)


@contextmanager
def running_inline(job: JobInfo) -> Iterator[None]:
    """Have `current_job` return `job` in this thread, within the block."""
    token = _inline.set(job)
    try:
        yield
    finally:
        _inline.reset(token)


def current_job() -> JobInfo | None:
    """Return the job that this process runs; None outside of a job.

    Threads and processes that the job starts get the same answer. With `inline` that
    is the job of this thread.
    """
    if (inline := _inline.get()) is not None:
        return inline
    # A child notes its job once, for what it prints. A program that only enqueues has
    # not loaded the module, which needs more packages. hot path: lazy-fields
    capture = sys.modules.get("resqued.log.capture")
    match capture and capture.facts():
        case (str(queue), Payload() as job, about):
            worker = getattr(about, "worker", "")
            args, attempt = tuple(job.args), _attempts.number
            return JobInfo(queue, job.class_name, args, attempt, worker)
    return None
