"""Jobs that wait for another attempt: delayed jobs whose attempts are counted.

Used by commands. The counter of a job is found by its class and arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from resqued.store.attempts import next_attempt
from resqued.store.connection import Link
from resqued.store.delayed import PAGE, DelayedJob, DelayedJobs
from resqued.store.failure_entry import Failure
from resqued.store.job_identity import identity_of
from resqued.wire.keys import Keys


class WaitingRetry(Struct, frozen=True):
    """A job that waits for its next attempt, which has the number `attempt`.

    `failure` is that of the attempt before; None if nobody has kept it.
    """

    job: DelayedJob
    attempt: int
    failure: Failure | None = None

    @property
    def error(self) -> str:
        """The exception of the attempt before, and its message; "" if not known."""
        failure = self.failure
        if failure is None or not failure.exception:
            return ""
        return f"{failure.exception}: {failure.error}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as `resqued retries --json` shows it: its job, and the attempt."""
        failure = None if self.failure is None else dict(self.failure.fields)
        return {**self.job.as_dict(), "attempt": self.attempt, "failure": failure}


class WaitingRetries:
    """The jobs of one namespace that wait for another attempt. Raises StoreError."""

    def __init__(self, link: Link, keys: Keys, delayed: DelayedJobs) -> None:
        self._link = link
        self._keys = keys
        self._delayed = delayed

    def __iter__(self) -> Iterator[WaitingRetry]:
        """Yield them, those first that are due first."""
        jobs = iter(self._delayed)
        while page := list(islice(jobs, PAGE)):
            yield from self.among(page)

    def of(self, job: DelayedJob) -> WaitingRetry | None:
        """Return what is known of one delayed job; None if it waits for no retry."""
        return next(self.among([job]), None)

    def among(self, jobs: list[DelayedJob]) -> Iterator[WaitingRetry]:
        """Yield those of some delayed jobs that wait for another attempt."""
        if not jobs:
            return
        names = [identity_of(job.payload) if job.payload else "" for job in jobs]
        keys = self._keys
        counts = self._link.call("MGET", *map(keys.attempts, names))
        for job, name, count in zip(jobs, names, counts, strict=True):
            if name and count is not None:
                # One key of another type must not end the list.
                calls = [("GET", keys.attempt_failure(name))]
                (entry,) = self._link.read_each(calls)
                failure = None if entry is None else Failure(entry)
                yield WaitingRetry(job, next_attempt(count), failure)

    def cancel(self, job: DelayedJob) -> bool:
        """Remove a job and its counters; return False if it is not there any more."""
        keys, name = self._keys, identity_of(job.payload)
        if not self._delayed.cancel(job):
            return False
        self._link.call(
            "DEL",
            keys.attempts(name),
            keys.attempt_failure(name),
            keys.first_attempt(name),
        )
        return True
