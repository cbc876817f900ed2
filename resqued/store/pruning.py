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
from resqued.store.registry import PAGE, Burial, Registry
from resqued.system import process
from resqued.wire import payload, worker_entry
from resqued.wire.payload import DIRTY_EXIT, PRUNE_DIRTY_EXIT, Fault
from resqued.wire.worker_entry import Entry, Identity, Machine, Verdict


class Judged(NamedTuple):
    """A worker of the registry, and what is known of it."""

    entry: Entry
    verdict: Verdict


@cache
def here() -> Machine:
    """Return where this process runs."""
    return Machine(process.boot_id(), process.pid_namespace())


def judge(entry: Entry, server_now: float) -> Verdict:
    """Say whether a worker lives, as seen from this machine."""
    identity = Identity.decode(entry.identity)
    start = None if identity is None else process.start_time(identity.pid)
    return worker_entry.judge(entry, now=server_now, machine=here(), start_of_pid=start)


def survey(
    store: Registry, is_spared: Callable[[str], bool] = lambda _worker_id: False
) -> Iterator[list[Judged]]:
    """Yield every worker with its verdict, a page at each step.

    A worker that is spared is somebody's business already, and passes as alive.
    """
    server_now = store.link.time()
    entries = store.entries(with_remains=True)
    while page := list(islice(entries, PAGE)):
        verdicts = [
            Verdict.ALIVE if is_spared(entry.worker_id) else judge(entry, server_now)
            for entry in page
        ]
        yield list(map(Judged, page, verdicts))


def doomed(page: Sequence[Judged], *, has_lock: bool) -> list[Judged]:
    """Return those that are to be buried."""
    fatal = {Verdict.DEAD, Verdict.SILENT} if has_lock else {Verdict.DEAD}
    return [judged for judged in page if judged.verdict in fatal]


def bury(store: Registry, dead: Sequence[Judged]) -> list[Judged]:
    """Bury workers; return those of them that had not changed meanwhile."""
    if not dead:
        return []
    burials = store.bury([(judged.entry, fault_of(judged)) for judged in dead])
    pairs = zip(dead, burials, strict=True)
    return [judged for judged, burial in pairs if burial is Burial.DONE]


def fault_of(judged: Judged) -> Fault:
    """Return the words of Ruby for both ways to be dead (wire format 2.2)."""
    entry, verdict = judged
    if verdict is Verdict.DEAD:
        error = f"Worker {entry.worker_id} died while processing {job_of(entry)}"
        return Fault(DIRTY_EXIT, error)
    return Fault(
        PRUNE_DIRTY_EXIT,
        f"Worker {entry.worker_id} did not gracefully exit"
        f" while processing {job_of(entry)}",
    )


def job_of(entry: Entry) -> str:
    """Return the class of the job that a worker holds, in words where it has none."""
    if not entry.record:
        return "no job"
    try:
        return payload.class_of(payload.decode_held(entry.record).payload)
    except PayloadError:
        return payload.UNKNOWN_JOB
