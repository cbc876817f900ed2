"""Which master a command is for, and how the pool of one is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from resqued.cli.options import config_option, pid_file_option, usage_error
from resqued.cli.table import Column, show_line, show_table
from resqued.cli.text import duration
from resqued.core.durations import show_seconds, show_size
from resqued.core.plural import pluralize
from resqued.diagnostics.local_masters import (
    LocalMasters,
    SeveralMastersError,
    holder,
)
from resqued.diagnostics.pool_view import (
    JobLimits,
    PoolView,
    PoolWorker,
    limits_of,
    show_pools,
)

PHASES = {
    "running": "green",
    "waiting": "dim",
    "starting": "yellow",
    "settling": "yellow",
    "stopping": "yellow",
}
COLUMNS = (
    Column("WORKER"),
    Column("GEN", is_number=True),
    Column("PHASE", styles=PHASES),
    Column("FOR", is_number=True),
    Column("DONE", is_number=True),
    Column("FAILED", is_number=True),
    Column("QUEUE"),
    Column("JOB", may_be_cut=True),
    Column("LIMITS"),
)


def master_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --pid, --pidfile and --config, and pass the masters that they mean."""

    @wraps(function)
    def command(
        *args: Any,
        pid: int | None,
        pid_file: str | None,
        config_file: str | None,
        **given: Any,
    ) -> Any:
        # Only an option counts: the environment is for the start of a master.
        meant = LocalMasters(config_file, pid if pid else holder(pid_file))
        try:
            return function(*args, meant=meant, **given)
        except SeveralMastersError as error:
            raise usage_error(error) from None

    for option in (
        pid_file_option,
        config_option,
        click.option(
            "--pid",
            type=click.IntRange(min=1),
            metavar="PID",
            help="The master that is meant, if several run here.",
        ),
    ):
        command = option(command)
    return command


# Showing


def headlines(pool: PoolView) -> list[str]:
    """Return what there is to say of a master, but for its workers."""
    if pool.error:
        return [pool.error]
    words = [
        f"master {pool.pid} {pool.state}",
        *(["paused"] if pool.is_paused else []),
        f"generation {pool.generation}",
        *(["reloading"] if pool.is_reloading else []),
        f"up {duration(pool.since)}",
        f"{len(pool.workers)} of {pluralize(pool.wanted, 'worker')}, {pool.busy} busy",
        show_pools(pool.pools),
    ]
    lines = [", ".join(words[:-1]) + f" ({words[-1]})"]
    if pool.redis:
        lines.append(f"no job can be taken or recorded: {pool.redis}")
    if pool.spawn_error:
        lines.append(f"workers are missing: {pool.spawn_error}")
    last = pool.failed_reload
    if last is not None:
        lines.append(f"reload to generation {last.generation} failed: {last.error}")
    return lines


def show_master(pool: PoolView) -> None:
    """Print a master with its workers."""
    for line in headlines(pool):
        show_line(line)
    if not pool.error:
        show_table(COLUMNS, [_row(w) for w in pool.workers], empty="no workers")


def _row(worker: PoolWorker) -> tuple[object, ...]:
    return (
        worker.id or "-",
        worker.generation,
        phase(worker),
        duration(worker.since),
        worker.done,
        worker.failed,
        worker.job.queue if worker.job else "",
        worker.job.class_name if worker.job else "",
        show_limits(limits_of(worker)),
    )


def phase(worker: PoolWorker) -> str:
    """Return the step that a worker is at, and whether it is its last."""
    return f"{worker.phase}{', quits' if worker.quits else ''}"


def show_limits(limits: JobLimits | None) -> str:
    """Return the limits of a job: time and memory, as far as it has any."""
    if limits is None:
        return ""
    parts = [
        show_seconds(limits.runtime) if limits.runtime else "",
        show_size(limits.memory) if limits.memory else "",
    ]
    return ", ".join(filter(None, parts)) or "none"


def job_in_words(worker: PoolWorker) -> str:
    """Return what a worker runs, where, and for how long."""
    job = worker.job
    what = f"{job.class_name} of queue {job.queue}" if job else "a job"
    return f"{what}, for {show_seconds(worker.since or 0.0)}"
