"""The quarantine: jobs that have killed their child or worker too often in a row.

Workers and masters set them aside when they record a death (include/deaths.lua). Used
by the client library and by commands, which put a job back or remove it. An entry is
changed by its content, never by its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from resqued.errors import PayloadError
from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.job_identity import identity_of
from resqued.store.script import Script
from resqued.wire import ruby_json
from resqued.wire.keys import Keys
from resqued.wire.payload import PAYLOAD_ERROR

TAKE_QUARANTINED = Script("take_quarantined")

PAGE = 100
_NO_FAILURE = Failure(b"{}")


@dataclass(frozen=True, slots=True)
class QuarantinedJob:
    """A job that was set aside.

    Two are equal if their bytes are. An entry that another program wrote may lack
    anything: a text is then empty, a time None, `class_name` is `<Unknown Job>`.
    """

    entry: bytes
    """The bytes of the entry in Redis, by which it is released or removed."""
    quarantined_at: datetime | None = field(default=None, compare=False)
    """When it was set aside, by the clock of the server, in UTC."""
    failure: Failure = field(default=_NO_FAILURE, compare=False)
    """The failure of its last run."""
    deaths: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)
    """What is known of each death in a row, the oldest first: `died_at`, `worker`,
    `exception`, `error` and, if it is known, `attempt`."""

    @classmethod
    def read(cls, entry: bytes) -> QuarantinedJob:
        """Return the job of an entry."""
        try:
            value = ruby_json.decode(entry)
            failure = Failure(ruby_json.encode(value["failure"]).encode())
            at = datetime.fromtimestamp(float(value["quarantined_at"]), UTC)
            deaths = tuple(one for one in value["deaths"] if isinstance(one, dict))
        except (ValueError, TypeError, LookupError, OverflowError, OSError):
            return cls(entry)
        return cls(entry, at, failure, deaths)

    @property
    def id(self) -> str:
        """The id that commands show and take: 12 hex digits, made of the bytes."""
        return hashlib.sha256(self.entry).hexdigest()[:12]

    @property
    def queue(self) -> str:
        """The queue that the job was taken from, and that it is put back on."""
        return self.failure.queue

    @property
    def class_name(self) -> str:
        """The class that the payload names; `<Unknown Job>` if it is no job."""
        return self.failure.class_name

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments of the job, decoded from JSON."""
        return self.failure.args

    @property
    def payload(self) -> str:
        """The payload that its queue gets; raises PayloadError if there is none."""
        found = self.failure.fields.get("payload")
        if (
            not isinstance(found, dict)
            or not isinstance(found.get("class"), str)
            or found["class"] in ("", PAYLOAD_ERROR)
            or not self.queue
        ):
            raise PayloadError(f"quarantined job {self.id} is no job with a queue")
        return ruby_json.encode(found)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it; of an entry that is none, its text."""
        at = self.quarantined_at
        if at is None:
            return {"id": self.id, "raw": self.entry.decode("utf-8", "replace")}
        return {
            "id": self.id,
            "quarantined_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "queue": self.queue,
            "class": self.class_name,
            "args": list(self.args),
            "deaths": [dict(death) for death in self.deaths],
            "failure": dict(self.failure.fields),
        }


class Quarantine:
    """The jobs of one Redis and namespace that were set aside.

    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def count(self) -> int:
        """Return how many jobs there are."""
        return int(self._link.call("LLEN", self._keys.quarantine))

    def page(self, start: int = 0, count: int = 20) -> list[QuarantinedJob]:
        """Return up to `count` jobs, the newest first, without the `start` newest."""
        if count <= 0:
            return []
        return self._between(-start - count, -start - 1)

    def _between(self, first: int, last: int) -> list[QuarantinedJob]:
        found = self._link.call("LRANGE", self._keys.quarantine, first, last)
        return [QuarantinedJob.read(entry) for entry in reversed(found)]

    def __iter__(self) -> Iterator[QuarantinedJob]:
        """Yield the present jobs, the newest first.

        They may be released or removed meanwhile. Positions count from the head, so
        that this does not shift the others.
        """
        end = self.count()
        while end > 0:
            start = max(0, end - PAGE)
            yield from self._between(start, end - 1)
            end = start

    def matching(
        self, class_name: str | None = None, queue: str | None = None
    ) -> Iterator[QuarantinedJob]:
        """Yield those of a class and of a queue, the newest first; None means any."""
        for job in self:
            if class_name in (None, job.class_name) and queue in (None, job.queue):
                yield job

    def find(self, job_id: str) -> QuarantinedJob | None:
        """Return the newest job whose id begins with `job_id`, or None."""
        if not job_id:
            return None
        return next((job for job in self if job.id.startswith(job_id)), None)

    def release(self, job: QuarantinedJob) -> bool:
        """Put a job back at the tail of its queue, and forget its deaths.

        Returns False if it is not there any more. Raises PayloadError if the entry
        holds no job or names no queue.
        """
        return self._take(job, job.queue, job.payload)

    def remove(self, job: QuarantinedJob) -> bool:
        """Remove a job, and forget its deaths; return False if it is gone already."""
        return self._take(job, job.queue, "")

    def _take(self, job: QuarantinedJob, queue: str, text: str) -> bool:
        keys = self._keys
        try:
            name = identity_of(job.payload.encode())
        except PayloadError:
            name = ""  # nobody has counted its deaths
        names = (keys.quarantine, keys.queues, keys.queue(queue), keys.deaths(name))
        return bool(TAKE_QUARANTINED(self._link, names, (job.entry, queue, text)))

    def clear(self) -> int:
        """Remove all jobs; return how many there were. Their deaths still count."""
        key = self._keys.quarantine
        count, _ = self._link.pipeline([("LLEN", key), ("DEL", key)])
        return int(count)
