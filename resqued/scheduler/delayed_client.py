"""The methods of Client that have jobs wait for a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, ParamSpec, TypeAlias, overload

from resqued.core.durations import Duration
from resqued.errors import ArgumentError
from resqued.hooks.producing import HookedCall, hooked_call
from resqued.scheduler.due_time import due_at, due_in
from resqued.store.delayed import DelayedJob, DelayedJobs, Due
from resqued.store.job_queues import BATCH
from resqued.wire import calls, payload
from resqued.wire.naming import (
    ClassJob,
    FunctionJob,
    JobLike,
    check_queue,
    payload_limits,
    queue_of,
    wire_name,
)

P = ParamSpec("P")
AnyJob: TypeAlias = FunctionJob[...] | ClassJob[...] | str
Arguments: TypeAlias = tuple[Any, ...] | list[Any]


class DelayedClient:
    """What a client does with delayed jobs; `delayed` are those that wait."""

    delayed: DelayedJobs
    inline: bool
    _max_payload: int

    def enqueue_in(
        self,
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
        target: Any = job
        return self._put_later(queue_of(target), due_in(delay), target, args, kwargs)

    def enqueue_at(
        self,
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
        target: Any = job
        return self._put_later(queue_of(target), due_at(when), target, args, kwargs)

    @overload
    def enqueue_in_with_queue(
        self,
        queue: str,
        delay: Duration,
        job: FunctionJob[P] | ClassJob[P],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> bool: ...
    @overload
    def enqueue_in_with_queue(
        self, queue: str, delay: Duration, job: str, /, *args: Any
    ) -> bool: ...
    def enqueue_in_with_queue(
        self, queue: str, delay: Duration, job: Any, /, *args: Any, **kwargs: Any
    ) -> bool:
        """Do as enqueue_in, for the queue that is named.

        The job may be the name of a class, in any language, as for enqueue_to.
        """
        return self._put_later(queue, due_in(delay), job, args, kwargs)

    @overload
    def enqueue_at_with_queue(
        self,
        queue: str,
        when: datetime,
        job: FunctionJob[P] | ClassJob[P],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> bool: ...
    @overload
    def enqueue_at_with_queue(
        self, queue: str, when: datetime, job: str, /, *args: Any
    ) -> bool: ...
    def enqueue_at_with_queue(
        self, queue: str, when: datetime, job: Any, /, *args: Any, **kwargs: Any
    ) -> bool:
        """Do as enqueue_at, for the queue that is named.

        The job may be the name of a class, in any language, as for enqueue_to.
        """
        return self._put_later(queue, due_at(when), job, args, kwargs)

    def _put_later(
        self, queue: str, due: Due, job: JobLike, args: Any, kwargs: Any
    ) -> bool:
        text = calls.encode(job, args, kwargs, self._max_payload)
        check_queue(queue)
        hooked = hooked_call(queue, job, args, kwargs)
        if hooked is not None and hooked.is_vetoed("before_schedule"):
            return False
        if self.inline:
            self._put(queue, job, args, kwargs)
        else:
            self.delayed.put_one(queue, text, due)
        if hooked is not None:
            hooked.run("after_schedule")
        return True

    def _put(self, queue: str, job: JobLike, args: Any, kwargs: Any) -> bool:
        raise NotImplementedError

    def enqueue_many_later(
        self,
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
        if (delay is None) == (at is None):
            raise ArgumentError("enqueue_many_later takes delay or at, and one of them")
        due = due_at(at) if at is not None else due_in(delay or 0)
        items = (calls.job_of(item, job) for item in jobs)
        if self.inline:
            return sum(
                self._put_later(queue or queue_of(j), due, j, args, {})
                for j, args in items
            )
        total = 0
        while batch := list(islice(items, BATCH)):
            total += self._put_batch_later(batch, queue, due)
        return total

    def _put_batch_later(
        self,
        items: Iterable[tuple[JobLike, tuple[Any, ...]]],
        queue: str | None,
        due: Due,
    ) -> int:
        """Have a batch of jobs wait, with their hooks; return how many."""
        pairs: list[tuple[str, str]] = []
        put: list[HookedCall] = []
        for job, args in items:
            pair = calls.encode_item(job, args, queue, self._max_payload)
            if (hooked := hooked_call(pair[0], job, args)) is not None:
                if hooked.is_vetoed("before_schedule"):
                    continue
                put.append(hooked)
            pairs.append(pair)
        total = self.delayed.put(pairs, due)
        for hooked in put:
            hooked.run("after_schedule")
        return total

    def find_delayed(
        self, job: AnyJob, /, *args: Any, queue: str | None = None
    ) -> list[DelayedJob]:
        """Return the delayed jobs of a class, those first that are due first.

        With arguments only those with exactly these. `queue` is the only one that is
        looked at, if it is given. If the queue is known, by `queue` or from the job,
        jobs with arguments are found by their own keys; all others by reading every
        delayed job.
        """
        target: Any = job
        name = wire_name(target)
        known = queue or (None if isinstance(job, str) else getattr(job, "queue", None))
        if args and isinstance(known, str):
            text = payload.encode_job(name, args, payload_limits(target))
            return self.delayed.at_places(known, text)
        return [
            found
            for found in self.delayed
            if found.class_name == name
            and (not args or found.args == tuple(args))
            and queue in (None, found.queue)
        ]

    def cancel_delayed(
        self, job: AnyJob, /, *args: Any, queue: str | None = None
    ) -> int:
        """Remove the delayed jobs that find_delayed finds; return how many."""
        found = self.find_delayed(job, *args, queue=queue)
        return sum(map(self.delayed.cancel, found))

    def run_delayed(self, job: AnyJob, /, *args: Any, queue: str | None = None) -> int:
        """Put the delayed jobs that find_delayed finds on their queues; how many."""
        found = self.find_delayed(job, *args, queue=queue)
        return sum(map(self.delayed.run_now, found))
