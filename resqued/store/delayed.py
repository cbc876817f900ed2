"""Delayed jobs: those that wait for a time, in the keys of resque-scheduler.

Used by the client library and by commands; masters move what is due (due_jobs.py).
An item is changed by its time and its bytes, so nobody cancels what has gone meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import Any

from msgspec import Struct

from resqued.errors import PayloadError
from resqued.store.connection import Link
from resqued.store.job_queues import BATCH
from resqued.store.script import Script
from resqued.wire import delayed_item, payload, timestamps
from resqued.wire.keys import Keys, prefix_of

ENQUEUE = Script("enqueue_delayed")
TAKE = Script("take_delayed")
CLEAR_DELAYED = Script("clear_delayed")

# Items and times in one reply.
PAGE = 200
# Items that one call of the script removes: some milliseconds of the server.
_CLEARED = "500"


@dataclass(frozen=True, slots=True)
class DelayedJob:
    """A job that waits for its time.

    An item that another program wrote may be no job: the texts are then empty,
    `class_name` is `<Unknown Job>`.
    """

    item: bytes
    """The bytes of the item in Redis, by which it is cancelled or run."""
    time: str
    """When it is due, as the text of Redis: seconds since the epoch."""
    queue: str = ""
    """The queue that it will go to."""
    class_name: str = payload.UNKNOWN_JOB
    """The class that it names."""
    args: tuple[Any, ...] = ()
    """The arguments, decoded from JSON."""
    # The payload for the queue.
    _payload: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def read(cls, item: bytes, time: str) -> DelayedJob:
        """Return the job of an item."""
        try:
            queue, job = delayed_item.decode(item)
        except PayloadError:
            return cls(item, time)
        return cls(item, time, queue, job.class_name, job.args, job.raw)

    @property
    def id(self) -> str:
        """The id that commands show and take: 12 hex digits, of time and bytes."""
        text = f"{self.time}:".encode("utf-8", "surrogateescape") + self.item
        return hashlib.sha256(text).hexdigest()[:12]

    @property
    def due_at(self) -> datetime | None:
        """When it is due, in UTC; None if that is no time."""
        try:
            return datetime.fromtimestamp(float(self.time), UTC)
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def payload(self) -> bytes:
        """The payload that its queue will have; empty if it is no job."""
        return self._payload

    @property
    def due_text(self) -> str:
        """When it is due, as `--json` has it; the text of Redis if that is no time."""
        due = self.due_at
        return self.time if due is None else timestamps.heartbeat(due.timestamp())

    @property
    def raw(self) -> str:
        """The item as text; bytes that are not UTF-8 are escapes."""
        return self.item.decode("utf-8", "backslashreplace")

    def as_dict(self) -> dict[str, Any]:
        """Return it as `resqued delayed --json` shows it; what is no job has `raw`."""
        found = {
            "id": self.id,
            "due_at": self.due_text,
            "queue": self.queue,
            "class": self.class_name,
            "args": list(self.args),
        }
        return found if self.payload else found | {"raw": self.raw}


def _order(job: DelayedJob) -> float:
    """Return the time of a job; what is no time comes last."""
    try:
        return float(job.time)
    except ValueError:
        return inf


class Due(Struct, frozen=True):
    """When a job is due: so many seconds from now, or at a time since the epoch."""

    seconds: float
    is_from_now: bool

    @property
    def words(self) -> tuple[str, str]:
        """The arguments of the script."""
        return ("in" if self.is_from_now else "at"), f"{self.seconds:.6f}"


class DelayedJobs:
    """The delayed jobs of one Redis and namespace, of any library.

    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def put(self, jobs: Iterable[tuple[str, str]], due: Due) -> int:
        """Have (queue, payload) pairs wait until they are due; return how many.

        What is due already goes to its queue. The clock is that of the server.
        """
        stream, total = iter(jobs), 0
        while batch := list(islice(stream, BATCH)):
            ENQUEUE.each(self._link, [self._call(*job, due) for job in batch])
            total += len(batch)
        return total

    def put_one(self, queue: str, text: str, due: Due) -> int:
        """Have a job wait; return when it is due (epoch seconds), 0 if it is now."""
        return int(ENQUEUE(self._link, *self._call(queue, text, due)))

    def _call(
        self, queue: str, text: str, due: Due
    ) -> tuple[Sequence[str], Sequence[str]]:
        keys = self._keys
        item = delayed_item.encode(text, queue)
        return (
            (keys.delayed_schedule, keys.queues, keys.queue(queue)),
            (prefix_of(keys), queue, text, item, *due.words),
        )

    def times(self) -> Iterator[str]:
        """Yield the times at which jobs are due, the earliest first."""
        key, start = self._keys.delayed_schedule, 0
        while page := self._link.call("ZRANGE", key, start, start + BATCH - 1):
            yield from (time.decode("utf-8", "surrogateescape") for time in page)
            start += len(page)

    def _counts(self) -> Iterator[tuple[str, int]]:
        times = self.times()
        while page := list(islice(times, BATCH)):
            counts = self._link.read_each(
                [("LLEN", self._keys.delayed(time)) for time in page]
            )
            yield from zip(page, (count or 0 for count in counts), strict=True)

    def count(self) -> int:
        """Return how many jobs wait for their time."""
        return sum(count for _, count in self._counts())

    def page(self, start: int = 0, count: int = 20) -> list[DelayedJob]:
        """Return up to `count` jobs from number `start` on, in the order of time."""
        found: list[DelayedJob] = []
        if count <= 0:
            return found
        for time, length in self._counts():
            if start >= length:
                start -= length
                continue
            last = start + count - len(found) - 1
            raw = self._link.call("LRANGE", self._keys.delayed(time), start, last)
            found += [DelayedJob.read(item, time) for item in raw]
            start = 0
            if len(found) >= count:
                break
        return found

    def __iter__(self) -> Iterator[DelayedJob]:
        """Yield the jobs, those first that are due first.

        If some are moved or cancelled meanwhile, others may be missed.
        """
        for time, length in self._counts():
            for start in range(0, length, PAGE):
                raw = self._link.call(
                    "LRANGE", self._keys.delayed(time), start, start + PAGE - 1
                )
                yield from [DelayedJob.read(item, time) for item in raw]

    def at_places(self, queue: str, text: str) -> list[DelayedJob]:
        """Return the jobs with exactly this queue and payload, by their own keys."""
        found = []
        for item in delayed_item.spellings(text, queue):
            members = self._link.call("SMEMBERS", self._keys.timestamps(item))
            raw = item.encode()
            for member in sorted(members):
                time = member.decode("utf-8", "surrogateescape").rpartition(":")[2]
                listed = self._link.call("LRANGE", self._keys.delayed(time), 0, -1)
                found += [DelayedJob.read(raw, time)] * listed.count(raw)
        return sorted(found, key=_order)

    def cancel(self, job: DelayedJob) -> bool:
        """Remove one job; return False if it is not there any more."""
        return self._take(job, self._keys.failed, "", "")

    def run_now(self, job: DelayedJob) -> bool:
        """Put one job on its queue now; return False if it is not there any more.

        Raises PayloadError if the item is no job or names no queue.
        """
        if not job.payload:
            raise PayloadError(f"delayed item {job.id} is no job with a queue")
        return self._take(job, self._keys.queue(job.queue), job.payload, job.queue)

    def fail(self, job: DelayedJob, entry: bytes) -> bool:
        """Put a failure entry, with its address, in the place of one job.

        Returns False if the job is gone.
        """
        return self._take(job, self._keys.failed, entry, "")

    def _take(self, job: DelayedJob, key: str, text: str | bytes, queue: str) -> bool:
        keys = self._keys
        item = job.item.decode("utf-8", "surrogateescape")
        names = (
            keys.delayed_schedule,
            keys.delayed(job.time),
            keys.timestamps(item),
            key,
            keys.queues,
            keys.stat("failed"),
            keys.stat("processed"),
            keys.failed_aside,
        )
        return bool(TAKE(self._link, names, (job.time, job.item, text, queue)))

    def clear(self) -> int:
        """Remove all delayed jobs, in batches; return how many there were."""
        return sum(self.clear_steps())

    def clear_steps(self) -> Iterator[int]:
        """Remove all delayed jobs; yield after each batch how many it had."""
        keys = self._keys
        while True:
            removed = CLEAR_DELAYED(
                self._link, (keys.delayed_schedule,), (prefix_of(keys), _CLEARED)
            )
            if removed < 0:
                return
            yield int(removed)
