"""The list of failures: pages of it, and acting on one by its content.

Never by index: while a person looks at a page, others append and remove, and an
index then means another failure.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resqued.errors import PayloadError
from resqued.store.connection import Link
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys

RETRY = Script("retry")
CLEAR = Script("clear")
PAGE = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the list: its bytes are its identity, the rest is for reading."""

    entry: bytes
    # Where it stood when it was read: saves a search, decides nothing.
    position: int = field(default=-1, compare=False, repr=False)

    @property
    def id(self) -> str:
        """A short name for the entry, made of its content."""
        return hashlib.sha256(self.entry).hexdigest()[:12]

    @property
    def fields(self) -> dict[str, Any]:
        """The entry's fields; empty for an entry that is no failure."""
        try:
            return payload.decode_failure(self.entry)
        except PayloadError:
            return {}

    @property
    def queue(self) -> str:
        """The queue the job came from."""
        return str(self.fields.get("queue") or "")

    @property
    def class_name(self) -> str:
        """The job's class, or what stands in for it."""
        job = self.fields.get("payload")
        name = job.get("class") if isinstance(job, dict) else None
        return name if isinstance(name, str) else payload.UNKNOWN_JOB

    @property
    def is_retried(self) -> bool:
        """Whether the job was enqueued again."""
        return bool(self.fields.get("retried_at"))

    def as_dict(self) -> dict[str, Any]:
        """Return id and fields, for --json."""
        return {**self.fields, "id": self.id}


class Failures:
    """The list `failed`; its tail is the newest."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def count(self) -> int:
        """Return how many failures there are."""
        return int(self._link.call("LLEN", self._keys.failed))

    def page(self, start: int = 0, count: int = 20) -> list[Failure]:
        """Return up to count failures, newest first, after the start newest."""
        if count <= 0:
            return []
        found = self._link.call("LRANGE", self._keys.failed, -start - count, -start - 1)
        return [Failure(entry) for entry in reversed(found)]

    def oldest_first(self) -> Iterator[Failure]:
        """Yield the failures there are now; safe while they are being retried."""
        end = self.count()
        for start in range(0, end, PAGE):
            yield from self._between(start, min(start + PAGE, end))

    def newest_first(self) -> Iterator[Failure]:
        """Yield the failures there are now; safe while they are being removed.

        Positions count from the head, so that neither removing what was seen nor
        appending shifts what is still to come.
        """
        end = self.count()
        while end > 0:
            start = max(0, end - PAGE)
            yield from reversed(self._between(start, end))
            end = start

    def _between(self, start: int, end: int) -> list[Failure]:
        found = self._link.call("LRANGE", self._keys.failed, start, end - 1)
        return [Failure(entry, start + i) for i, entry in enumerate(found)]

    def find(self, failure_id: str) -> Failure | None:
        """Return the newest failure whose id begins so, or None."""
        if not failure_id:
            return None
        return next(
            (f for f in self.newest_first() if f.id.startswith(failure_id)), None
        )

    def retry(self, failure: Failure) -> bool:
        """Enqueue the job again and mark the failure; False if it is not there.

        Of two who retry one failure, one succeeds. Raises PayloadError if the
        failure holds no job.
        """
        queue, job = payload.retry_job(failure.entry)
        keys = self._keys
        return bool(
            RETRY(
                self._link,
                (keys.failed, keys.queues, keys.queue(queue)),
                (
                    failure.entry,
                    payload.retried(failure.entry, time.time()),
                    queue,
                    job,
                    str(failure.position),
                ),
            )
        )

    def remove(self, failure: Failure) -> bool:
        """Remove one failure; False if it is not there any more.

        Of equal ones the newest, so that nothing moves in front of a reader who
        walks from the newest to the oldest.
        """
        return bool(self._link.call("LREM", self._keys.failed, -1, failure.entry))

    def clear(self) -> int:
        """Remove all failures; answer how many."""
        return int(CLEAR(self._link, (self._keys.failed,), ()))

    def clear_retried(self) -> int:
        """Remove the failures that were retried; answer how many."""
        return sum(self.remove(f) for f in self.newest_first() if f.is_retried)
