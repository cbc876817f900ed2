"""Who of the registry is dead, and the burial of those: a page at a time.

For the master, which prunes about once a minute, and for `resqued workers prune`.
Workers that died on this machine need no lock: there is no doubt about them. Silent
ones are left to whoever holds the lock, Ruby or ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from resqued.errors import PayloadError
from resqued.store.registry import PAGE, ReclaimResult, Registry
from resqued.system import process
from resqued.wire import payload, worker_entry
from resqued.wire.payload import DIRTY_EXIT, PRUNE_DIRTY_EXIT, FailureInfo
from resqued.wire.worker_entry import HostIdentity, Identity, Liveness, WorkerEntry


class JudgedWorker(NamedTuple):
    """A worker of the registry, and what is known of it."""

    entry: WorkerEntry
    verdict: Liveness


@cache
def here() -> HostIdentity:
    """Return where this process runs."""
    return HostIdentity(process.boot_id(), process.pid_namespace())


def judge(entry: WorkerEntry, server_now: float) -> Liveness:
    """Say whether a worker lives, as seen from this machine."""
    identity = Identity.decode(entry.identity)
    start = None if identity is None else process.start_time(identity.pid)
    return worker_entry.judge(entry, now=server_now, machine=here(), start_of_pid=start)


def survey(
    store: Registry, is_spared: Callable[[str], bool] = lambda _worker_id: False
) -> Iterator[list[JudgedWorker]]:
    """Yield every worker with its verdict, a page at each step.

    A worker that is spared is somebody's business already, and passes as alive.
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
    """Return those that are to be buried."""
    fatal = {Liveness.DEAD, Liveness.SILENT} if has_lock else {Liveness.DEAD}
    return [judged for judged in page if judged.verdict in fatal]


def reclaim(store: Registry, dead: Sequence[JudgedWorker]) -> list[JudgedWorker]:
    """Bury workers; return those of them that had not changed meanwhile."""
    if not dead:
        return []
    results = store.reclaim([(judged.entry, fault_of(judged)) for judged in dead])
    pairs = zip(dead, results, strict=True)
    return [judged for judged, result in pairs if result is ReclaimResult.DONE]


def fault_of(judged: JudgedWorker) -> FailureInfo:
    """Return the words of Ruby for both ways to be dead (wire format 2.2)."""
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
    """Return the class of the job that a worker holds, in words where it has none."""
    if not entry.record:
        return "no job"
    try:
        return payload.class_of(payload.decode_held(entry.record).payload)
    except PayloadError:
        return payload.UNKNOWN_JOB
