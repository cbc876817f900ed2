"""Which master a command is for, and how the pool of one is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from resqued.cli.options import pid_file_option, redis_options, usage_error
from resqued.cli.table import show_words
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
    show_pools,
)
from resqued.diagnostics.redis_target import redis_target


def master_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --pid, --pidfile and those of the Redis; pass the masters that they mean."""

    @wraps(function)
    def command(
        *args: Any,
        pid: int | None,
        pid_file: str | None,
        url: str | None,
        namespace: str | None,
        config_file: str | None,
        **given: Any,
    ) -> Any:
        meant = masters_meant(pid, pid_file, config_file, url, namespace)
        try:
            return function(*args, meant=meant, **given)
        except SeveralMastersError as error:
            raise usage_error(error) from None

    for option in (
        pid_file_option,
        redis_options,
        click.option(
            "--pid",
            type=click.IntRange(min=1),
            metavar="PID",
            help="The master that is meant, whatever it serves.",
        ),
    ):
        command = option(command)
    return command


def masters_meant(
    pid: int | None,
    pid_file: str | None,
    config_file: str | None,
    url: str | None,
    namespace: str | None,
) -> LocalMasters:
    """Return the masters that options mean: that of a pid, or those of a Redis."""
    # Only an option counts: the pid file of the environment is for the start of one.
    named = pid if pid else holder(pid_file)
    target = None if named else redis_target(config_file, url, namespace)
    return LocalMasters(config_file, named, target, namespace)


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
        f"{pool.ready} of {pluralize(pool.wanted, 'worker')}",
        *([f"{pool.starting} starting"] if pool.starting else []),
        *([f"{pool.leaving} leaving"] if pool.leaving else []),
        f"{pool.busy} working",
    ]
    lines = [", ".join(words), f"  {show_pools(pool.pools)}; {pool.serves}"]
    if pool.redis_error:
        lines.append(f"no job can be taken or recorded: {pool.redis_error}")
    if pool.spawn_error:
        lines.append(f"workers are missing: {pool.spawn_error}")
    last = pool.failed_reload
    if last is not None:
        lines.append(f"reload to generation {last.generation} failed: {last.error}")
    return lines


def show_headlines(pool: PoolView) -> None:
    """Print what there is to say of a master, broken at words."""
    for line in headlines(pool):
        show_words(line)


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
