"""The list of failures: pages of it, and acting on one by its content.

Never by index: while a person looks at a page, others append and remove, and an
index then means another failure.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resqued.errors import PayloadError
from resqued.store.connection import Link
from resqued.store.script import Script
from resqued.wire import payload, times
from resqued.wire.keys import Keys

RETRY = Script("retry")
CLEAR = Script("clear")
PAGE = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the failed list.

    Two failures are equal if their bytes are. An entry that another program wrote may
    lack any field: a text is then empty, a time None, `class_name` is `<Unknown Job>`.
    """

    entry: bytes
    """The bytes of the entry in Redis, by which it is retried or removed."""
    # Where it stood when it was read: saves a search, decides nothing.
    position: int = field(default=-1, compare=False, repr=False)
    # The decoded entry, when it has been asked for. No cached_property: a thread could
    # hold its lock while another one forks.
    _decoded: dict[str, Any] | None = field(
        default=None, init=False, compare=False, repr=False
    )

    @property
    def id(self) -> str:
        """The id that commands show and take: 12 hex digits, made of the bytes."""
        return hashlib.sha256(self.entry).hexdigest()[:12]

    @property
    def fields(self) -> Mapping[str, Any]:
        """All fields of the entry, decoded from JSON; empty if it is no failure.

        resqued and Resque write `failed_at`, `payload` (`class` and `args`),
        `exception`, `error`, `backtrace`, `worker`, `queue` and, after a retry,
        `retried_at`.
        """
        if self._decoded is None:
            object.__setattr__(self, "_decoded", _fields(self.entry))
        return self._decoded or {}

    def _text(self, name: str) -> str:
        value = self.fields.get(name)
        return "" if value is None else str(value)

    @property
    def queue(self) -> str:
        """The queue that the job was taken from."""
        return str(self.fields.get("queue") or "")

    @property
    def class_name(self) -> str:
        """The class that the payload names; `<Unknown Job>` if it is no job."""
        job = self.fields.get("payload")
        name = job.get("class") if isinstance(job, dict) else None
        return name if isinstance(name, str) else payload.UNKNOWN_JOB

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments of the job, decoded from JSON; empty if it is no job."""
        job = self.fields.get("payload")
        return payload.arguments(job.get("args")) if isinstance(job, dict) else ()

    @property
    def exception(self) -> str:
        """The class of the exception by its full name, such as `ValueError`."""
        return self._text("exception")

    @property
    def error(self) -> str:
        """The message of the exception."""
        return self._text("error")

    @property
    def backtrace(self) -> tuple[str, ...]:
        """The lines of the traceback, as the language of the worker prints them."""
        lines = self.fields.get("backtrace")
        return tuple(map(str, lines)) if isinstance(lines, list) else ()

    @property
    def worker(self) -> str:
        """The id of the worker that ran the job."""
        return self._text("worker")

    @property
    def failed_at(self) -> datetime | None:
        """When the job failed, in whole seconds.

        None if the entry has no time, or one of a zone that is unknown here: the text
        is that of the host of the worker. `fields` has it.
        """
        return times.read(self._text("failed_at"))

    @property
    def retried_at(self) -> datetime | None:
        """When the job was last retried, read as `failed_at` is; None if never."""
        return times.read(self._text("retried_at"))

    @property
    def is_retried(self) -> bool:
        """Whether the job was enqueued again."""
        return bool(self.fields.get("retried_at"))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields of the entry, and its `id`."""
        return {**self.fields, "id": self.id}


def _fields(entry: bytes) -> dict[str, Any]:
    try:
        return payload.decode_failure(entry)
    except PayloadError:
        return {}


class Failures:
    """The failed list of one Redis and namespace; its last entry is the newest.

    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def count(self) -> int:
        """Return how many failures there are."""
        return int(self._link.call("LLEN", self._keys.failed))

    def page(self, start: int = 0, count: int = 20) -> list[Failure]:
        """Return up to `count` failures, newest first, without the `start` newest."""
        if count <= 0:
            return []
        found = self._link.call("LRANGE", self._keys.failed, -start - count, -start - 1)
        return [Failure(entry) for entry in reversed(found)]

    def oldest_first(self) -> Iterator[Failure]:
        """Yield the failures there are now, the oldest first.

        They may be retried meanwhile; to remove them, walk from the newest.
        """
        end = self.count()
        for start in range(0, end, PAGE):
            yield from self._between(start, min(start + PAGE, end))

    def newest_first(self) -> Iterator[Failure]:
        """Yield the failures there are now, the newest first.

        They may be removed meanwhile. Positions count from the head, so that neither
        removing what was seen nor appending shifts what is still to come.
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
        """Return the newest failure whose id begins with `failure_id`, or None.

        Reads the list from its end until it finds one.
        """
        if not failure_id:
            return None
        return next(
            (f for f in self.newest_first() if f.id.startswith(failure_id)), None
        )

    def retry(self, failure: Failure) -> bool:
        """Enqueue the job again and mark the failure as retried; return True.

        Returns False if the failure is not in the list any more, or was retried since
        it was read: of two callers who retry one failure, one succeeds. The failure
        stays in the list. Raises PayloadError if the failure holds no job.
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
        """Remove one failure; return False if it is not in the list any more.

        Of equal ones the newest goes, so that nothing moves in front of a reader who
        walks from the newest to the oldest.
        """
        return bool(self._link.call("LREM", self._keys.failed, -1, failure.entry))

    def clear(self) -> int:
        """Remove all failures; return how many there were."""
        return int(CLEAR(self._link, (self._keys.failed,), ()))

    def clear_retried(self) -> int:
        """Remove the failures that were retried; return how many there were."""
        return sum(self.remove(f) for f in self.newest_first() if f.is_retried)
