"""Which master a command is for, and how the pool of one is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from resqued.cli.options import config_option, pid_file_option
from resqued.cli.table import Column, show_line, show_table
from resqued.cli.text import duration
from resqued.config import loader
from resqued.control import requests
from resqued.control.protocol import JobLimits, PoolWorker, StatusReply, StatusRequest
from resqued.control.requests import Address, SilentMaster
from resqued.core.durations import show_seconds, show_size
from resqued.core.plural import pluralize
from resqued.errors import ConfigError, ControlError, NoMasterError
from resqued.system import pidfile

F = TypeVar("F", bound=Callable[..., Any])

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


def master_options(function: F) -> F:
    """Add --pid, --pidfile and --config: which master is meant, and where it is."""

    @wraps(function)
    def command(*args: Any, pid: int | None, pid_file: str | None, **given: Any) -> Any:
        return function(*args, pid=pid if pid else holder(pid_file), **given)

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
    return cast("F", command)


def holder(pid_file: str | None) -> int | None:
    """Return the pid of the master that holds a pid file, if that is how it is meant.

    Only an option counts: the environment is for who starts masters.
    """
    if pid_file is None:
        return None
    pid = pidfile.holder(Path(pid_file))
    if not pid:
        raise NoMasterError(f"no master runs: nobody holds pid file {pid_file}")
    return pid


def all_of(config_file: str | None, pid: int | None = None) -> list[Address]:
    """Return the masters of this host, or the one of a pid if that is given.

    A configuration that cannot be read keeps nobody from a master that is found
    where masters usually are; if none is, it is told of.
    """
    configured, problem = _configured(config_file)
    found = requests.masters(requests.places(configured, os.environ))
    if not found and problem is not None:
        raise problem
    return [address for address in found if pid in (None, address.pid)]


def _configured(config_file: str | None) -> tuple[str, ConfigError | None]:
    """Return the directory that the configuration names, whatever else is in it."""
    path = loader.file_in_use(config_file, os.environ)
    if path is None:
        return "", None
    try:
        table = loader.load(path).get("control", {})
    except ConfigError as error:
        return "", error
    named = table.get("directory", "") if isinstance(table, dict) else ""
    return (named, None) if isinstance(named, str) else ("", None)


def one_of(config_file: str | None, pid: int | None) -> Address:
    """Return the master that is meant; raise if there is none, or more than one."""
    found = all_of(config_file, pid)
    if not found:
        raise missing(config_file, pid)
    if len(found) > 1:
        raise click.UsageError(
            f"Several masters run here, so name one with --pid: {_listed(found)}"
        )
    return found[0]


def with_worker(config_file: str | None, pid: int | None, who: str) -> Address:
    """Return the master that is meant, be it by naming one of its workers."""
    found = all_of(config_file, pid)
    if len(found) < 2:
        return one_of(config_file, pid)
    for address in found:
        with suppress(ControlError):
            for worker in requests.ask(address, StatusRequest()).workers:
                if who in map(str, (worker.id, worker.pid, worker.child)):
                    return address
    raise ControlError(
        f"{who} is no worker of any master here, and no child of one;"
        " `resqued top` lists them"
    )


def missing(config_file: str | None, pid: int | None = None) -> NoMasterError:
    """Return the error that says where no master was found."""
    named, _ = _configured(config_file)
    looked_at = requests.places(named, os.environ)
    if pid is not None and (others := requests.masters(looked_at)):
        return NoMasterError(
            f"no master has the pid {pid}; those that run here: {_listed(others)}"
        )
    message = f"no master runs here: there is no socket of one in {looked_at[0]}"
    for place in looked_at[1:]:
        message += f" or {place}"
    for place, owner in requests.inaccessible_dirs(looked_at).items():
        message += f"; {place} {requests.owner_hint(owner)}"
    return NoMasterError(message)


def are_hidden(config_file: str | None) -> bool:
    """Say whether there may be masters where this user cannot look."""
    named, _ = _configured(config_file)
    return bool(requests.inaccessible_dirs(requests.places(named, os.environ)))


def _listed(found: Sequence[Address]) -> str:
    return ", ".join(f"{address.pid} ({_pools_of(address)})" for address in found)


def _pools_of(address: Address) -> str:
    try:
        return show_pools(requests.ask(address, StatusRequest()).pools)
    except NoMasterError:
        return "does not answer"
    except ControlError:
        return "is somebody else's"


# Showing


def show_pools(pools: Mapping[str, int]) -> str:
    """Return queue lists with how many workers each is to have."""
    return "; ".join(f"{queues}: {count}" for queues, count in pools.items())


def headlines(status: StatusReply | SilentMaster) -> list[str]:
    """Return what there is to say of a master, but for its workers."""
    if isinstance(status, SilentMaster):
        return [status.error]
    workers = status.workers
    busy = sum(worker.phase == "running" for worker in workers)
    wanted = sum(status.pools.values())
    words = [
        f"master {status.pid} {status.state}",
        *(["paused"] if status.is_paused else []),
        f"generation {status.generation}",
        *(["reloading"] if status.is_reloading else []),
        f"up {duration(status.since)}",
        f"{len(workers)} of {pluralize(wanted, 'worker')}, {busy} busy",
        show_pools(status.pools),
    ]
    lines = [", ".join(words[:-1]) + f" ({words[-1]})"]
    last = status.last_reload
    if last and last.error:
        lines.append(f"reload to generation {last.generation} failed: {last.error}")
    return lines


def show_master(status: StatusReply | SilentMaster) -> None:
    """Print a master with its workers."""
    for line in headlines(status):
        show_line(line)
    if isinstance(status, StatusReply):
        show_table(COLUMNS, [_row(w) for w in status.workers], empty="no workers")


def _row(worker: PoolWorker) -> tuple[object, ...]:
    job = worker.job
    return (
        worker.id or "-",
        worker.generation,
        phase(worker),
        duration(worker.since),
        worker.done,
        worker.failed,
        job.queue if job else "",
        job.class_name if job else "",
        show_limits(worker),
    )


def phase(worker: PoolWorker) -> str:
    """Return the step that a worker is at, and whether it is its last."""
    return f"{worker.phase}{', quits' if worker.quits else ''}"


def show_limits(worker: PoolWorker) -> str:
    """Return the limits of its job: time and memory, as far as it has any."""
    limits = worker.limits
    if not isinstance(limits, JobLimits):
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
