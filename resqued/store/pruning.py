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

from resqued.errors import PayloadError
from resqued.store.registry import PAGE, ReclaimResult, Registry
from resqued.system import process
from resqued.wire import payload, worker_entry, worker_record
from resqued.wire.payload import DIRTY_EXIT, PRUNE_DIRTY_EXIT, FailureInfo
from resqued.wire.worker_entry import HostIdentity, Identity, Liveness, WorkerEntry


class JudgedWorker(NamedTuple):
    """A worker's entry in the registry, and the verdict on it."""

    entry: WorkerEntry
    verdict: Liveness


@cache
def here() -> HostIdentity:
    """Return the boot and the pid namespace of this process."""
    return HostIdentity(process.boot_id(), process.pid_namespace())


def judge(entry: WorkerEntry, server_now: float) -> Liveness:
    """Return whether a worker lives, as seen from this host.

    `server_now` is the server's time in seconds since the epoch.
    """
    identity = Identity.decode(entry.identity)
    start = None if identity is None else process.start_time(identity.pid)
    return worker_entry.judge(entry, now=server_now, machine=here(), start_of_pid=start)


def survey(
    store: Registry, is_spared: Callable[[str], bool] = lambda _worker_id: False
) -> Iterator[list[JudgedWorker]]:
    """Yield every worker of the registry with its verdict, in pages.

    Workers for which `is_spared` returns True, by id, are not judged: they count as
    alive, because another part of the master takes care of them. Raises StoreError.
    """
    server_now = store.link.time()
    entries = store.entries(with_remains=True)
    while page := list(islice(entries, PAGE)):
        verdicts = [
            Liveness.ALIVE if is_spared(entry.worker_id) else judge(entry, server_now)
            for entry in page
        ]
        yield list(map(JudgedWorker, page, verdicts))


def to_prune(page: Sequence[JudgedWorker], *, has_lock: bool) -> list[JudgedWorker]:
    """Return the workers to reclaim: dead ones, and silent ones with the lock."""
    fatal = {Liveness.DEAD, Liveness.SILENT} if has_lock else {Liveness.DEAD}
    return [judged for judged in page if judged.verdict in fatal]


def reclaim(store: Registry, dead: Sequence[JudgedWorker]) -> list[JudgedWorker]:
    """Remove dead workers from Redis and record their jobs as failed.

    Returns those that were reclaimed: workers that have changed since they were
    judged are left alone. Raises StoreError.
    """
    if not dead:
        return []
    results = store.reclaim([(judged.entry, fault_of(judged)) for judged in dead])
    pairs = zip(dead, results, strict=True)
    return [judged for judged, result in pairs if result is ReclaimResult.DONE]


def fault_of(judged: JudgedWorker) -> FailureInfo:
    """Return the failure of a dead or silent worker's job, in Ruby's words (2.2)."""
    entry, verdict = judged
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
