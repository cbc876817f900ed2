"""Finds the dead workers of the registry and reclaims them, a page at a time.

Used by the master, which prunes about once a minute, and by `resqued workers prune`.
Workers that died on this host need no lock, because their processes are gone. Workers
whose heartbeats are too old are pruned only by the process that holds the lock, which
Ruby Resque takes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from resqued.core.worker_death import DeathRules
from resqued.errors import PayloadError
from resqued.store.registry import NO_DEATHS, PAGE, RECORDS, ReclaimResult, Registry
from resqued.system import process
from resqued.wire import payload, worker_entry, worker_record
from resqued.wire.payload import DIRTY_EXIT, PRUNE_DIRTY_EXIT, FailureInfo
from resqued.wire.worker_entry import HostIdentity, Identity, Liveness, WorkerEntry


class JudgedWorker(NamedTuple):
    """A worker's entry in the registry, and the verdict on it.

    `is_quarantined` is True if it was reclaimed, and its job was set aside.
    """

    entry: WorkerEntry
    verdict: Liveness
    is_quarantined: bool = False


@cache
def here() -> HostIdentity:
    """Return the boot and the namespaces of this process."""
    return HostIdentity(process.boot_id(), process.namespaces())


def judge(entry: WorkerEntry, server_now: float) -> Liveness:
    """Return whether a worker lives, as seen from this host.

    `server_now` is the server's time in seconds since the epoch.
    """
    identity = Identity.decode(entry.identity)
    start = None
    if identity and HostIdentity(identity.boot, identity.pids) == here():
        start = process.start_time(identity.pid)
    return worker_entry.judge(entry, now=server_now, machine=here(), start_of_pid=start)


def survey(
    store: Registry, is_spared: Callable[[str], bool] = lambda _worker_id: False
) -> Iterator[list[JudgedWorker]]:
    """Yield every worker of the registry with its verdict, in pages.

    Workers for which `is_spared` returns True, by id, are not judged: they count as
    alive, because another part of the master takes care of them. The entries have no
    records. Raises StoreError.
    """
    server_now = store.link.time()
    entries = store.entries(with_remains=True, with_records=False)
    while page := list(islice(entries, PAGE)):
        verdicts = [
            Liveness.ALIVE if is_spared(entry.worker_id) else judge(entry, server_now)
            for entry in page
        ]
        yield list(map(JudgedWorker, page, verdicts))


class PruneLock:
    """The lock for one round of pruning, taken when the first silent worker is found.

    It keeps Ruby's workers from pruning, so it is held no longer than that takes.
    """

    def __init__(self, store: Registry, owner: str) -> None:
        self._store = store
        self._owner = owner
        self._is_held: bool | None = None

    def take(self) -> bool:
        """Return True if the lock is held; it is asked for once. Raises StoreError."""
        if self._is_held is None:
            self._is_held = self._store.take_prune_lock(self._owner)
        return self._is_held

    def release(self) -> None:
        """Release the lock if it is held; raise StoreError."""
        if self._is_held:
            self._store.release_prune_lock(self._owner)


def to_prune(
    page: Sequence[JudgedWorker], take_lock: Callable[[], bool]
) -> list[JudgedWorker]:
    """Return the workers to reclaim: dead ones, and silent ones with the lock."""
    fatal = {Liveness.DEAD}
    if any(judged.verdict is Liveness.SILENT for judged in page) and take_lock():
        fatal.add(Liveness.SILENT)
    return [judged for judged in page if judged.verdict in fatal]


def reclaim(
    store: Registry, dead: Sequence[JudgedWorker], deaths: DeathRules = NO_DEATHS
) -> list[JudgedWorker]:
    """Remove dead workers from Redis; their jobs fail, or are put back by `deaths`.

    Reads their records, a few at a time. Returns those that were reclaimed: workers
    that have changed since they were judged are left alone. Raises StoreError.
    """
    reclaimed: list[JudgedWorker] = []
    for some in _batches(dead):
        held = with_records(store, some)
        faults = [(judged.entry, fault_of(judged)) for judged in held]
        results = store.reclaim(faults, deaths)
        pairs = zip(held, results, strict=True)
        reclaimed += [
            judged._replace(is_quarantined=r is ReclaimResult.QUARANTINED)
            for judged, r in pairs
            if r.is_done
        ]
    return reclaimed


def with_records(store: Registry, judged: Sequence[JudgedWorker]) -> list[JudgedWorker]:
    """Return the workers with their records, without those that have changed."""
    found = []
    fresh = store.read([each.entry.worker_id for each in judged])
    for (entry, verdict, _), now in zip(judged, fresh, strict=True):
        same = replace(now, record=entry.record, is_registered=entry.is_registered)
        if same == entry:
            found.append(JudgedWorker(replace(same, record=now.record), verdict))
    return found


def _batches(dead: Sequence[JudgedWorker]) -> Iterator[Sequence[JudgedWorker]]:
    for start in range(0, len(dead), RECORDS):
        yield dead[start : start + RECORDS]


def fault_of(judged: JudgedWorker) -> FailureInfo:
    """Return the failure of a dead or silent worker's job, in Ruby's words (2.2)."""
    entry, verdict, _ = judged
    if verdict is Liveness.DEAD:
        error = f"Worker {entry.worker_id} died while processing {job_of(entry)}"
        return FailureInfo(DIRTY_EXIT, error)
    return FailureInfo(
        PRUNE_DIRTY_EXIT,
        f"Worker {entry.worker_id} did not gracefully exit"
        f" while processing {job_of(entry)}",
    )


def job_of(entry: WorkerEntry) -> str:
    """Return the class of the job that a worker holds, for a message.

    "no job" if it holds none, "<Unknown Job>" if the class cannot be read.
    """
    if not entry.record:
        return "no job"
    try:
        return payload.class_of(worker_record.decode_held(entry.record).payload)
    except PayloadError:
        return payload.UNKNOWN_JOB
