"""The registry of workers: read in pages, and freed of the dead.

Who is dead is decided elsewhere (core.registry). A result is one script that does
nothing if anything about the worker has changed since it was judged.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice

from resqued.errors import PayloadError
from resqued.store.connection import Link
from resqued.store.runs import registry_keys
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys
from resqued.wire.payload import FailureInfo
from resqued.wire.worker_entry import WorkerEntry

RECLAIM = Script("reclaim")
PAGE = 500

# As Ruby's: another pruner has been at work for so many seconds at most.
PRUNE_LOCK_SECONDS = 60


class ReclaimResult(Enum):
    """What a burial came to."""

    CHANGED = 0
    DONE = 1
    NOTHING_LEFT = 2


class Registry:
    """All workers in Redis, of whatever kind and host."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self.link = link
        self._keys = keys

    def ids(self) -> set[str]:
        """Return the registered ids."""
        members = self.link.call("SMEMBERS", self._keys.workers)
        return {_text(member) for member in members}

    def entries(self, *, with_remains: bool = False) -> Iterator[WorkerEntry]:
        """Yield what is known of every worker, sorted by id.

        With `with_remains` also of ids that are not registered, but have left a
        heartbeat or an identity behind.
        """
        registered = self.ids()
        ids = set(registered)
        if with_remains:
            for key in (self._keys.heartbeats, self._keys.identities):
                ids |= {_text(field) for field in self.link.call("HKEYS", key)}
        stream = iter(sorted(ids))
        while page := list(islice(stream, PAGE)):
            yield from self.read(page, registered)

    def read(
        self, ids: Sequence[str], registered: Iterable[str] | None = None
    ) -> list[WorkerEntry]:
        """Return what is known of these workers, in one round trip."""
        keys = self._keys
        known = set(ids if registered is None else registered)
        bare = [WorkerEntry(worker_id) for worker_id in ids]
        identities, heartbeats, records, pings, started = self.link.pipeline(
            [
                ("HMGET", keys.identities, *ids),
                ("HMGET", keys.heartbeats, *ids),
                ("MGET", *(keys.worker(worker_id) for worker_id in ids)),
                ("MGET", *(keys.ping(entry.node_name) for entry in bare)),
                ("MGET", *(keys.started(worker_id) for worker_id in ids)),
            ]
        )
        return [
            WorkerEntry(
                worker_id,
                identity=_text(identities[i]),
                heartbeat=_text(heartbeats[i]),
                record=records[i] or b"",
                ping=_text(pings[i]),
                started=_text(started[i]),
                is_registered=worker_id in known,
            )
            for i, worker_id in enumerate(ids)
        ]

    def reclaim(
        self, dead: Sequence[tuple[WorkerEntry, FailureInfo]]
    ) -> list[ReclaimResult]:
        """Take dead workers out and settle the jobs they held, in one round trip.

        Nothing is done about those that have changed since they were read.
        """
        calls = [self._reclaim_call(entry, fault) for entry, fault in dead]
        results = [ReclaimResult(reply) for reply in RECLAIM.each(self.link, calls)]
        pairs = zip(dead, results, strict=True)
        self._forget_node_workers(
            entry.node_name
            for (entry, _), result in pairs
            if entry.ping and result is ReclaimResult.DONE
        )
        return results

    def _reclaim_call(
        self, entry: WorkerEntry, fault: FailureInfo
    ) -> tuple[tuple[str, ...], tuple[str | bytes, ...]]:
        """Return keys and arguments of the script for one worker."""
        keys = self._keys
        return (
            (
                *registry_keys(keys, entry.worker_id),
                keys.stat("processed"),
                keys.stat("failed"),
                keys.failed,
                keys.ping(entry.node_name),
            ),
            (
                entry.worker_id,
                entry.identity,
                entry.heartbeat,
                entry.record,
                _failure_of(entry, fault) if entry.record else b"",
                entry.ping,
            ),
        )

    def _forget_node_workers(self, names: Iterable[str]) -> None:
        """Delete what node-resque keeps of its workers beside the registry."""
        keys = self._keys
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

    def take_prune_lock(self, owner: str) -> bool:
        """Take the lock that Ruby's pruners take too; it falls of itself."""
        key = self._keys.prune_lock
        return bool(self.link.call("SET", key, owner, "EX", PRUNE_LOCK_SECONDS, "NX"))

    def counts(self, entries: Sequence[WorkerEntry]) -> list[tuple[int, int]]:
        """Return how many jobs each worker processed and failed.

        node-resque counts under the name without queues (8.3).
        """
        if not entries:
            return []
        names = [e.node_name if e.ping else e.worker_id for e in entries]
        done, failed = self.link.pipeline(
            [
                ("MGET", *(self._keys.stat(stat, name) for name in names))
                for stat in ("processed", "failed")
            ]
        )
        return [(int(a or 0), int(b or 0)) for a, b in zip(done, failed, strict=True)]

    def totals(self) -> tuple[int, int]:
        """Return how many jobs were processed and failed, by all workers ever."""
        done, failed = self.link.call(
            "MGET", self._keys.stat("processed"), self._keys.stat("failed")
        )
        return int(done or 0), int(failed or 0)


def _failure_of(entry: WorkerEntry, fault: FailureInfo) -> bytes:
    try:
        held = payload.decode_held(entry.record)
        queue, raw = held.queue, held.payload
    except PayloadError:
        # Somebody's record that we cannot read: kept as it is, as text.
        queue, raw = "", entry.record
    return payload.failure(
        fault, payload=raw, worker=entry.worker_id, queue=queue, now=time.time()
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "surrogateescape")
