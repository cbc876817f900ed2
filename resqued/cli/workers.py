"""`resqued workers`: who works, by the registry in Redis, and who only seems to.

A worker is shown as what its record says (working, idle), unless it gives no sign
of life: its process here is gone (dead), its heartbeat is too old (silent), or it
never had one (unknown).
"""

from __future__ import annotations

from collections import Counter

import click

from resqued.cli.options import (
    ListingGroup,
    json_option,
    wide_option,
    with_client,
    with_writing_client,
)
from resqued.cli.table import show_json, show_line, show_table
from resqued.cli.worker_table import COLUMNS, as_row
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.diagnostics import worker_removal
from resqued.diagnostics.worker_removal import RemovedWorker
from resqued.diagnostics.worker_status import worker_statuses
from resqued.wire.worker_entry import Liveness

EXAMPLES = """
\b
Examples:
  resqued workers
  resqued workers --json
  resqued workers remove web1:4711:critical,high
  resqued workers prune --dry-run
"""


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def workers() -> None:
    """List the workers, or remove one that is gone.

    Without a command: list.
    """


@workers.command(name="list")
@wide_option
@json_option
@with_client
def list_(client: Client, is_wide: bool, as_json: bool) -> None:
    """List every worker in Redis, of any host and language."""
    found = worker_statuses(client)
    if as_json:
        show_json([status.as_dict() for status in found])
    else:
        rows = [as_row(status) for status in found]
        show_table(COLUMNS, rows, empty="no workers", is_wide=is_wide)


@workers.command(epilog=EXAMPLES)
@click.argument("worker_id", metavar="ID")
@with_writing_client
def remove(client: Client, worker_id: str) -> None:
    """Remove a worker that is gone; its job becomes a failure.

    Masters do so by themselves with workers of their own host and with those
    whose heartbeat has stopped. This is for one that never had a heartbeat, or
    that you know better about. A live worker of this host is refused.
    """
    removed = worker_removal.remove(client, worker_id)
    job = "" if removed.job is None else f"; its job {removed.job} is now a failure"
    show_line(f"removed worker {worker_id}{job}")


@workers.command(epilog=EXAMPLES)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say which workers would be removed, and remove none.",
)
@with_writing_client
def prune(client: Client, dry_run: bool) -> None:
    """Remove workers that are dead here, or silent anywhere.

    Masters do so by themselves, about once a minute. The jobs that these workers
    held become failures. One that never gave a sign of life is left alone.
    """
    removed, left = 0, Counter[Liveness]()
    for page in worker_removal.prune(client, is_dry=dry_run):
        for worker in page.removed:
            show_line(_in_words(worker, is_removed=not dry_run))
        removed += len(page.removed)
        left.update(page.left)
    show_line(_summary(removed, left, is_removed=not dry_run))


def _in_words(worker: RemovedWorker, *, is_removed: bool) -> str:
    """Say of one worker what was found and done."""
    removed = "removed" if is_removed else "would remove"
    state = worker.verdict.value if worker.verdict else ""
    where = " here" if worker.verdict is Liveness.DEAD else ""
    job = ""
    if worker.job is not None:
        becomes = "is now" if is_removed else "would become"
        job = f"; its job {worker.job} {becomes} a failure"
    return f"{removed} worker {worker.worker_id}, {state}{where}{job}"


def _summary(removed: int, left: Counter[Liveness], *, is_removed: bool) -> str:
    done = "removed" if is_removed else "would remove"
    words = [f"{done} {pluralize(removed, 'worker')}"]
    if count := left[Liveness.SILENT]:
        words.append(
            f"left {count} silent to the process that has the pruning lock: try again"
            f" in {worker_removal.LOCK_SECONDS} s"
        )
    if count := left[Liveness.UNKNOWN]:
        words.append(f"left {count} unknown alone: `resqued workers remove` is for it")
    return "; ".join(words)
