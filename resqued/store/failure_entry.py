"""One entry of the list of failures, and its fields."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resqued.errors import PayloadError
from resqued.wire import payload, timestamps
from resqued.wire.keys import FAILED

if TYPE_CHECKING:
    from resqued.core.grouping import Group


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the failed list.

    Two failures are equal if their bytes are. An entry that another program wrote may
    lack any field: a text is then empty, a time None, `class_name` is `<Unknown Job>`.
    """

    entry: bytes
    """The bytes of the entry in Redis, by which it is retried or removed."""
    # The index at which it was read: saves a search, and has no other effect.
    position: int = field(default=-1, compare=False, repr=False)
    list_name: str = field(default=FAILED, compare=False)
    """The list that it was read from: `failed`, or `<queue>_failed`."""
    # The decoded entry, when it has been asked for. No cached_property: a thread could
    # hold its lock while another one forks.
    _decoded: dict[str, Any] | None = field(
        default=None, init=False, compare=False, repr=False
    )

    @property
    def id(self) -> str:
        """The id that commands show and take: 12 hex digits, made of the bytes."""
        return self.digest[:12]

    @property
    def digest(self) -> str:
        """The digest of the bytes, in hex digits; the id is its beginning."""
        return hashlib.sha256(self.entry).hexdigest()

    @property
    def fields(self) -> Mapping[str, Any]:
        """All fields of the entry, decoded from JSON; empty if it is no failure.

        resqued and Resque write `failed_at`, `payload` (`class` and `args`),
        `exception`, `error`, `backtrace`, `worker`, `queue` and, after a retry,
        `retried_at`; resqued also `attempt`, of a second attempt and later ones.
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
    def host(self) -> str:
        """The host of the worker; "" if the worker is not known."""
        return self.worker.partition(":")[0]

    @property
    def group(self) -> Group:
        """The group of failures with the same cause."""
        from resqued.core.grouping import group_of

        return group_of(self.class_name, self.exception, self.error, self.backtrace)

    @property
    def attempt(self) -> int:
        """Which attempt of the job failed, from 1; 1 if nobody counted."""
        found = self.fields.get("attempt")
        return found if isinstance(found, int) else 1

    @property
    def failed_at(self) -> datetime | None:
        """When the job failed, in whole seconds.

        None if the entry has no time, or one of a zone that is unknown here: the text
        is that of the host of the worker. `fields` has it.
        """
        return timestamps.read(self._text("failed_at"))

    @property
    def retried_at(self) -> datetime | None:
        """When the job was last retried, read as `failed_at` is; None if never."""
        return timestamps.read(self._text("retried_at"))

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
