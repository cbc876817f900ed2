"""The registry of workers in Redis: reads it in pages, and removes dead workers.

wire/worker_entry.py decides which workers are dead. Reclaiming one is one Lua script,
which does nothing if the worker's keys have changed since it was judged.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import Any

from msgspec.structs import replace

from resqued.core.worker_death import FAIL, DeathRules
from resqued.errors import PayloadError
from resqued.store.attempts import death_words
from resqued.store.connection import Link, Word
from resqued.store.runs import HEARTBEAT, registry_keys
from resqued.store.script import Script
from resqued.store.write_check import check_writes
from resqued.wire import payload, worker_record
from resqued.wire.failure_place import IN_FAILED, FailurePlace
from resqued.wire.keys import Keys
from resqued.wire.outcome import death_record
from resqued.wire.payload import FailureInfo
from resqued.wire.worker_entry import WorkerEntry

RECLAIM = Script("reclaim")
RELEASE = Script("release")
PAGE = 500
# How many records of dead workers are read at a time: each may have megabytes.
RECORDS = 20

# As in Ruby Resque: how long the lock keeps other pruners away.
PRUNE_LOCK_SECONDS = 60
# How long Ruby takes to prune after it took the lock, in seconds.
# A counter is a signed number of 64 bits.
_LARGEST_COUNT = 1 << 63
_RUBY_PRUNES = 2


# A person who removes a worker says nothing of its job.
NO_DEATHS = DeathRules(replace(FAIL, quarantine_after=0))


class ReclaimResult(Enum):
    """The reply of reclaim.lua for one worker."""

    CHANGED = 0
    DONE = 1
    NOTHING_LEFT = 2
    PUT_BACK = 3
    QUARANTINED = 4

    @property
    def is_done(self) -> bool:
        """Whether the worker was removed; its job failed, or was put back or aside."""
        return self not in (ReclaimResult.CHANGED, ReclaimResult.NOTHING_LEFT)


class Registry:
    """All workers in Redis, of every implementation and host.

    Each method raises StoreError if Redis fails.
    """

    def __init__(self, link: Link, keys: Keys, place: FailurePlace = IN_FAILED) -> None:
        self.link = link
        self.keys = keys
        # Where the failures of reclaimed jobs go.
        self.place = place

    def check_server(self) -> None:
        """Run a script over several keys, which changes nothing.

        Raises UnusableServerError if the server can never run such scripts, StoreError
        for other errors.
        """
        keys = self.keys
        HEARTBEAT(
            self.link,
            (keys.workers, keys.started(""), keys.heartbeats, keys.identities),
            ("", "nobody", "", ""),
        )

    def ids(self) -> set[str]:
        """Return the ids of the registered workers."""
        return {_text(member) for member in self.link.members(self.keys.workers)}

    def entries(
        self,
        *,
        with_remains: bool = False,
        with_records: bool = True,
        longest_record: int | None = None,
    ) -> Iterator[WorkerEntry]:
        """Yield the entries of all registered workers, sorted by id.

        With `with_remains` also those of unregistered ids that still have a heartbeat
        or an identity. Without `with_records` the records of registered workers, which
        may be large, are left out; with `longest_record` no more bytes of one are read.
        """
        registered = self.ids()
        ids = set(registered)
        if with_remains:
            for key in (self.keys.heartbeats, self.keys.identities):
                ids |= {_text(field) for field in self.link.call("HKEYS", key)}
        stream = iter(sorted(ids))
        while page := list(islice(stream, PAGE)):
            yield from self.read(
                page,
                registered,
                with_records=with_records,
                longest_record=longest_record,
            )

    def read(
        self,
        ids: Sequence[str],
        registered: Collection[str] | None = None,
        *,
        with_records: bool = True,
        longest_record: int | None = None,
    ) -> list[WorkerEntry]:
        """Return the entries of these workers, in one round trip.

        `registered` are the ids that are registered; by default all of `ids`. Without
        `with_records` their records are left out; of a record with more bytes than
        `longest_record` only the beginning is read, and its job has no arguments.
        """
        if not ids:
            return []
        keys, known = self.keys, set(ids) if registered is None else registered
        read = [i for i in ids if with_records or i not in known]
        identities, heartbeats, pings, started, *records = self.link.pipeline(
            [
                ("HMGET", keys.identities, *ids),
                ("HMGET", keys.heartbeats, *ids),
                ("MGET", *(keys.ping(WorkerEntry(i).node_name) for i in ids)),
                ("MGET", *(keys.started(worker_id) for worker_id in ids)),
                *self._reading([keys.worker(i) for i in read], longest_record),
            ]
        )
        held = dict(zip(read, _whole(records, longest_record), strict=True))
        return [
            WorkerEntry(
                worker_id,
                identity=_text(identities[i]),
                heartbeat=_text(heartbeats[i]),
                record=held.get(worker_id) or b"",
                ping=_text(pings[i]),
                started=_text(started[i]),
                is_registered=worker_id in known,
            )
            for i, worker_id in enumerate(ids)
        ]

    def _reading(
        self, names: Sequence[str], longest: int | None
    ) -> list[tuple[Word, ...]]:
        """Return the commands that read records, or their first bytes."""
        if longest is not None:
            return [("GETRANGE", name, 0, longest - 1) for name in names]
        return [("MGET", *names)] if names else []

    def reclaim(
        self,
        dead: Sequence[tuple[WorkerEntry, FailureInfo]],
        deaths: DeathRules = NO_DEATHS,
    ) -> list[ReclaimResult]:
        """Remove dead workers; the jobs they held fail, or are put back by `deaths`.

        Takes pairs of an entry and the failure for its job, and needs one round trip,
        or two if some are workers of node-resque. Workers that have changed since
        they were read are left alone, with the result CHANGED.
        """
        calls = [self._reclaim_call(entry, fault, deaths) for entry, fault in dead]
        results = [ReclaimResult(reply) for reply in RECLAIM.each(self.link, calls)]
        pairs = zip(dead, results, strict=True)
        self._forget_node_workers(
            entry.node_name
            for (entry, _), result in pairs
            if entry.ping and result.is_done
        )
        return results

    def _reclaim_call(
        self, entry: WorkerEntry, fault: FailureInfo, deaths: DeathRules
    ) -> tuple[tuple[str, ...], tuple[str | bytes, ...]]:
        """Return the keys and the arguments of reclaim.lua for one worker."""
        keys = self.keys
        death = death_record(fault, worker=entry.worker_id, now=time.time())
        more, words = death_words(keys, entry.record, deaths, death)
        return (
            (
                *registry_keys(keys, entry.worker_id),
                keys.stat("processed"),
                keys.stat("failed"),
                keys.failed,
                keys.ping(entry.node_name),
                keys.failed_aside,
                *more,
            ),
            (
                entry.worker_id,
                entry.identity,
                entry.heartbeat,
                entry.record,
                _failure_of(entry, fault, self.place) if entry.record else b"",
                entry.ping,
                *words,
            ),
        )

    def _forget_node_workers(self, names: Iterable[str]) -> None:
        """Delete the keys that node-resque has for its workers outside the registry."""
        keys = self.keys
        self.link.pipeline(
            [
                (
                    "DEL",
                    keys.ping(name),
                    keys.stat("processed", name),
                    keys.stat("failed", name),
                )
                for name in names
            ]
        )

    def check_writes(self) -> None:
        """Raise StoreError unless the server accepts writes; changes nothing."""
        check_writes(self.link, self.keys)

    def take_prune_lock(self, owner: str) -> bool:
        """Take the lock that Ruby's pruners take too; return False if it is held.

        It expires after PRUNE_LOCK_SECONDS.
        """
        key = self.keys.prune_lock
        return bool(self.link.call("SET", key, owner, "EX", PRUNE_LOCK_SECONDS, "NX"))

    def release_prune_lock(self, owner: str) -> None:
        """Release the lock that `owner` took, unless it has expired."""
        RELEASE(self.link, (self.keys.prune_lock,), (owner,))

    def is_being_pruned(self, owner: str) -> bool:
        """Return True if another process than `owner` has just taken the lock.

        Ruby reads a worker, records its job and removes it, in three steps.
        """
        key = self.keys.prune_lock
        holder, left = self.link.pipeline([("GET", key), ("PTTL", key)])
        age = PRUNE_LOCK_SECONDS * 1000 - int(left)
        return holder not in (None, owner.encode()) and age < _RUBY_PRUNES * 1000

    def counts(self, entries: Sequence[WorkerEntry]) -> list[tuple[int, int]]:
        """Return how many jobs each worker has processed, and how many have failed.

        node-resque counts under the id without its queues (wire format 8.3).
        """
        if not entries:
            return []
        names = [e.node_name if e.ping else e.worker_id for e in entries]
        done, failed = self.link.pipeline(
            [
                ("MGET", *(self.keys.stat(stat, name) for name in names))
                for stat in ("processed", "failed")
            ]
        )
        return [(_count(a), _count(b)) for a, b in zip(done, failed, strict=True)]

    def totals(self) -> tuple[int, int]:
        """Return how many jobs all workers ever processed, and how many failed."""
        done, failed = self.link.call(
            "MGET", self.keys.stat("processed"), self.keys.stat("failed")
        )
        return _count(done), _count(failed)


def _whole(replies: Sequence[Any], longest: int | None) -> list[bytes]:
    """Return the records of the replies to the commands of `_reading`."""
    if longest is None:
        return [record or b"" for page in replies for record in page]
    return [
        worker_record.without_arguments(reply) if len(reply) >= longest else reply
        for reply in replies
    ]


def _failure_of(entry: WorkerEntry, fault: FailureInfo, place: FailurePlace) -> bytes:
    try:
        held = worker_record.decode_held(entry.record)
        queue, raw = held.queue, held.payload
    except PayloadError:
        # A record that cannot be read is kept as it is, as the payload.
        queue, raw = "", entry.record
    text = payload.failure(
        fault, payload=raw, worker=entry.worker_id, queue=queue, now=time.time()
    )
    return place.addressed(text, queue)


def _count(value: bytes | None) -> int:
    """Return the number in a counter; 0 if the value is none that Redis can count."""
    try:
        found = int(value or 0)
    except ValueError:
        return 0
    return found if abs(found) < _LARGEST_COUNT else 0


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "surrogateescape")
