"""Removal of dead workers from the registry: one by its id, or all of them.

For operators. A master removes the dead workers of its host, and those whose heartbeat
has stopped, by itself. The job that a worker held becomes a failure.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from resqued.client import Client
from resqued.errors import ResquedError
from resqued.store import pruning
from resqued.store.pruning import JudgedWorker, job_of
from resqued.store.registry import PRUNE_LOCK_SECONDS
from resqued.system import process
from resqued.wire.payload import DIRTY_EXIT, FailureInfo
from resqued.wire.worker_entry import HostIdentity, Identity, Liveness, WorkerEntry

# How long a pruner has the lock, in seconds; others do not remove silent workers then.
LOCK_SECONDS = PRUNE_LOCK_SECONDS
# A busy worker changes its entry all the time; one attempt must come between changes.
_ATTEMPTS = 20

# Seconds: until the lock is looked at again, and how long it may be that of others,
# each of which is waited for as long as a pruner of Ruby's takes.
_LOOK_INTERVAL = 0.1
_LONGEST_WAIT = 5.0


class RemovedWorker(Struct, frozen=True):
    """A worker that was removed, or would be.

    `job` is the class of the job that it held and that became a failure; None without
    one. `verdict` is the reason for its removal; None for a worker removed by its id.
    """

    worker_id: str
    job: str | None
    verdict: Liveness | None = None


class PrunedPage(Struct, frozen=True):
    """A page of the registry: removed workers, and the numbers of others by verdict."""

    removed: tuple[RemovedWorker, ...]
    left: Mapping[Liveness, int]


def remove(client: Client, worker_id: str) -> RemovedWorker:
    """Remove one worker; the job that it held becomes a failure.

    Raises ResquedError if no such worker exists, or if it is alive: its process runs on
    this host, or its entry changes all the time.
    """
    for _ in range(_ATTEMPTS):
        (entry,) = client.registry.read([worker_id], client.registry.ids())
        if not (entry.is_registered or entry.identity or entry.heartbeat):
            raise ResquedError(
                f"there is no worker {worker_id!r}; `resqued workers` lists them"
            )
        if _lives_here(entry):
            raise ResquedError(
                f"worker {entry.worker_id} is alive, as pid {entry.pid} of this host:"
                " stop it first, with QUIT or TERM"
            )
        fault = FailureInfo(DIRTY_EXIT, "Job still being processed")
        (result,) = client.registry.reclaim([(entry, fault)])
        if result.is_done:
            return RemovedWorker(worker_id, _job(entry))
    raise ResquedError(f"worker {worker_id} is busy, so it lives: stop it on its host")


def prune(client: Client, *, is_dry: bool) -> Iterator[PrunedPage]:
    """Remove dead workers of this host and silent ones of any host, page by page.

    Silent workers are removed only if no other pruner has the lock, which is taken. If
    `is_dry`, the lock is not needed and no worker is removed. Workers that never wrote
    a heartbeat are not removed. Waits while another pruner has just begun: two would
    record one job, because Ruby writes in steps.
    """
    owner = f"{process.hostname()}:{os.getpid()}:prune"
    by = time.monotonic() + _LONGEST_WAIT
    while (
        not is_dry and client.registry.is_being_pruned(owner) and time.monotonic() < by
    ):
        time.sleep(_LOOK_INTERVAL)
    lock = pruning.PruneLock(client.registry, owner)
    for page in pruning.survey(client.registry):
        dead = pruning.to_prune(page, (lambda: True) if is_dry else lock.take)
        reclaimed = (
            pruning.with_records(client.registry, dead)
            if is_dry
            else pruning.reclaim(client.registry, dead)
        )
        yield PrunedPage(
            removed=tuple(map(_removed, reclaimed)),
            left=Counter(judged.verdict for judged in page if judged not in dead),
        )
    lock.release()


def _removed(judged: JudgedWorker) -> RemovedWorker:
    entry, verdict, _ = judged
    return RemovedWorker(entry.worker_id, _job(entry), verdict)


def _job(entry: WorkerEntry) -> str | None:
    return job_of(entry) if entry.record else None


def _lives_here(entry: WorkerEntry) -> bool:
    """Return True if the process of a worker, also of Ruby, runs on this host."""
    identity = Identity.decode(entry.identity)
    if identity is not None:
        is_here = HostIdentity(identity.boot, identity.pids) == pruning.here()
        return is_here and process.start_time(identity.pid) == identity.start
    return entry.host == process.hostname() and _is_resque(entry.pid)


def _is_resque(pid: int) -> bool:
    """Return True if the title of a process is that of a worker of another library."""
    try:
        return b"resque" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
