"""`resqued workers`: who works, by the registry in Redis, and who only seems to.

A worker is shown as what its record says (working, idle), unless it gives no sign
of life: its process here is gone (dead), its heartbeat is too old (silent), or it
never had one (unknown).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from resqued.cli.options import ListingGroup, json_option, with_client
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.text import clip, duration, json_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.diagnostics.worker_status import WorkerStatus, worker_statuses
from resqued.errors import ResquedError
from resqued.store import pruning
from resqued.store.pruning import JudgedWorker, job_of
from resqued.store.registry import PRUNE_LOCK_SECONDS, ReclaimResult
from resqued.system import process
from resqued.wire.payload import DIRTY_EXIT, FailureInfo
from resqued.wire.worker_entry import HostIdentity, Identity, Liveness, WorkerEntry

EXAMPLES = """
\b
Examples:
  resqued workers
  resqued workers --json
  resqued workers remove web1:4711:critical,high
  resqued workers prune --dry-run
"""
STATES = {
    "working": "green",
    "idle": "dim",
    "dead": "red",
    "silent": "yellow",
    "unknown": "yellow",
}
COLUMNS = (
    Column("WORKER"),
    Column("STATE", styles=STATES),
    Column("HEARTBEAT", is_number=True),
    Column("PROCESSED", is_number=True),
    Column("FAILED", is_number=True),
    Column("FOR", is_number=True),
    Column("QUEUE"),
    Column("JOB", may_be_cut=True),
)
# A busy worker changes its entry all the time; one look must fall in between.
_ATTEMPTS = 20


def as_row(status: WorkerStatus) -> tuple[object, ...]:
    """Return a worker as a row of COLUMNS."""
    worker, job = status.worker, status.worker.job
    return (
        worker.id,
        status.state,
        duration(status.heartbeat_age),
        worker.processed,
        worker.failed,
        "" if job is None else duration(status.job_age),
        "" if job is None else job.queue,
        "" if job is None else call(job.class_name, job.args),
    )


def call(class_name: str, args: Iterable[Any]) -> str:
    """Return a job as it would be called, cut to what a table has room for."""
    return clip(f"{class_name}({', '.join(map(json_line, args))})", 100)


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def workers() -> None:
    """List the workers, or remove one that is gone.

    Without a command: list.
    """


@workers.command(name="list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List every worker in Redis, of any host and language."""
    found = worker_statuses(client)
    if as_json:
        show_json([status.as_dict() for status in found])
    else:
        show_table(COLUMNS, [as_row(s) for s in found], empty="no workers")


@workers.command(epilog=EXAMPLES)
@click.argument("worker_id", metavar="ID")
@with_client
def remove(client: Client, worker_id: str) -> None:
    """Remove a worker that is gone; the job it held becomes a failure.

    Masters do so by themselves with workers of their own host and with those
    whose heartbeat has stopped. This is for one that never had a heartbeat, or
    that you know better about. A live worker of this host is refused.
    """
    for _ in range(_ATTEMPTS):
        (entry,) = client.registry.read([worker_id], client.registry.ids())
        if not (entry.is_registered or entry.identity or entry.heartbeat):
            raise ResquedError(
                f"there is no worker {worker_id!r}; `resqued workers` lists them"
            )
        _refuse_if_alive(entry)
        fault = FailureInfo(DIRTY_EXIT, "Job still being processed")
        (result,) = client.registry.reclaim([(entry, fault)])
        if result is ReclaimResult.DONE:
            job = f"; its job {job_of(entry)} is now a failure" if entry.record else ""
            show_line(f"removed worker {worker_id}{job}")
            return
    raise ResquedError(f"worker {worker_id} is busy, so it lives: stop it on its host")


def _refuse_if_alive(entry: WorkerEntry) -> None:
    """Raise for a worker that runs here, ours or Ruby's."""
    identity = Identity.decode(entry.identity)
    if identity is not None:
        is_here = HostIdentity(identity.boot, identity.pids) == pruning.here()
        lives = is_here and process.start_time(identity.pid) == identity.start
    else:
        lives = entry.host == process.hostname() and _is_resque(entry.pid)
    if lives:
        raise ResquedError(
            f"worker {entry.worker_id} is alive, as pid {entry.pid} of this host:"
            " stop it first, with QUIT or TERM"
        )


def _is_resque(pid: int) -> bool:
    """Say whether a process of another kind than ours is a worker, by its title."""
    try:
        return b"resque" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@workers.command(epilog=EXAMPLES)
@click.option("--dry-run", is_flag=True, help="Say who would be removed, only.")
@with_client
def prune(client: Client, dry_run: bool) -> None:
    """Remove the workers that are dead here, and those silent anywhere.

    Masters do so by themselves, about once a minute. The jobs that these workers
    held become failures. One that never gave a sign of life is left alone.
    """
    owner = f"{process.hostname()}:{os.getpid()}:prune"
    has_lock = dry_run or client.registry.take_prune_lock(owner)
    removed, left = 0, Counter[Liveness]()
    for page in pruning.survey(client.registry):
        dead = pruning.to_prune(page, has_lock=has_lock)
        reclaimed = dead if dry_run else pruning.reclaim(client.registry, dead)
        for judged in reclaimed:
            show_line(_told(judged, is_removed=not dry_run))
        removed += len(reclaimed)
        left.update(judged.verdict for judged in page if judged not in dead)
    show_line(_summary(removed, left, is_removed=not dry_run))


def _told(judged: JudgedWorker, *, is_removed: bool) -> str:
    """Say of one worker what was found and done."""
    entry, verdict = judged
    removed = "removed" if is_removed else "would remove"
    where = " here" if verdict is Liveness.DEAD else ""
    job = ""
    if entry.record:
        becomes = "is now" if is_removed else "would become"
        job = f"; its job {job_of(entry)} {becomes} a failure"
    return f"{removed} worker {entry.worker_id}, {verdict.value}{where}{job}"


def _summary(removed: int, left: Counter[Liveness], *, is_removed: bool) -> str:
    done = "removed" if is_removed else "would remove"
    words = [f"{done} {pluralize(removed, 'worker')}"]
    if count := left[Liveness.SILENT]:
        words.append(
            f"left {count} silent to whoever has the lock of the pruners: try again"
            f" in {PRUNE_LOCK_SECONDS} s"
        )
    if count := left[Liveness.UNKNOWN]:
        words.append(f"left {count} unknown alone: `resqued workers remove` is for it")
    return "; ".join(words)
