"""The records of masters in Redis: each master writes its own, anybody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from resqued.store.connection import Link
from resqued.wire import master_record
from resqued.wire.keys import Keys
from resqued.wire.master_record import LIFETIME, MasterRecord

# How many seconds the status of a master lives unless it is written again.
DETAIL_LIFETIME = 10
# How many seconds after a page was looked at its masters publish details.
WATCH_LIFETIME = 15
# How many jobs are kept; the names of former jobs are among them.
MOST_JOBS = 1_000
# How many records are read in one round trip.
_PAGE = 500


class MasterRecords:
    """The masters of one namespace. Each method raises StoreError if Redis fails."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def write(self, record: MasterRecord) -> None:
        """Write the record of a master, which lives for LIFETIME seconds."""
        keys = self._keys
        text = master_record.encode(record)
        # In this order: an id without a record may be removed by others.
        self._link.pipeline(
            [
                ("SET", keys.master(record.id), text, "EX", LIFETIME),
                ("SADD", keys.masters, record.id),
            ]
        )

    def remove(self, master_id: str) -> None:
        """Remove a master that stops."""
        keys = self._keys
        self._link.pipeline(
            [
                ("SREM", keys.masters, master_id),
                ("DEL", keys.master(master_id), keys.detail(master_id)),
            ]
        )

    def write_jobs(self, jobs: Mapping[str, str]) -> None:
        """Write JSON about jobs by name, beside those of other applications.

        If there are more than MOST_JOBS then, these alone stay.
        """
        key = self._keys.declared_jobs
        words = [word for job in jobs.items() for word in job]
        _, total = self._link.pipeline([("HSET", key, *words), ("HLEN", key)])
        if int(total) > MOST_JOBS:
            self._link.pipeline([("DEL", key), ("HSET", key, *words)])

    def write_detail(self, master_id: str, text: bytes) -> bool:
        """Write the status of a master; return False if nobody looks any more."""
        keys = self._keys
        detail = ("SET", keys.detail(master_id), text, "EX", DETAIL_LIFETIME)
        _, watch = self._link.pipeline([detail, ("GET", keys.watch)])
        return watch is not None

    def jobs(self) -> dict[str, bytes]:
        """Return JSON about jobs by name; nothing if there are too many to be ours."""
        key = self._keys.declared_jobs
        if int(self._link.call("HLEN", key)) > MOST_JOBS:
            return {}
        found = self._link.call("HGETALL", key)
        return {name.decode("utf-8", "surrogateescape"): v for name, v in found.items()}

    def watch(self) -> None:
        """Have masters publish their details for WATCH_LIFETIME seconds."""
        self._link.call("SET", self._keys.watch, "1", "EX", WATCH_LIFETIME)

    def detail(self, master_id: str) -> bytes | None:
        """Return the status that a master has published; None if there is none."""
        found: bytes | None = self._link.call("GET", self._keys.detail(master_id))
        return found

    def forget_lost(self) -> None:
        """Remove the ids without a record: their masters were killed, or cut off.

        A master that was cut off only adds its id again with its next record.
        """
        lost = [each for each, record in self._pages() if record is None]
        if lost:
            self._link.call("SREM", self._keys.masters, *lost)

    def read(self) -> list[MasterRecord]:
        """Return the record of every master that has one, sorted by host and pid."""
        found = (master_record.decode(raw) for _, raw in self._pages() if raw)
        records = [record for record in found if record is not None]
        return sorted(records, key=lambda record: (record.host, record.pid))

    def _pages(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield each id with its record, which is None if there is none."""
        members = self._link.members(self._keys.masters)
        ids = iter(sorted(raw.decode("utf-8", "surrogateescape") for raw in members))
        while page := list(islice(ids, _PAGE)):
            keys = map(self._keys.master, page)
            yield from zip(page, self._link.call("MGET", *keys), strict=True)
