"""`resqued top`: what every worker of this host does, and what that costs, live."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from resqued.cli import masters
from resqued.cli.masters import PHASES, headlines, master_options, phase
from resqued.cli.options import Duration, json_option
from resqued.cli.table import (
    Cell,
    Column,
    console,
    rich_table,
    show_json,
    show_line,
    show_table,
)
from resqued.cli.text import clean
from resqued.control import protocol, requests
from resqued.control.protocol import JobLimits, PoolWorker, StatusReply
from resqued.control.requests import Address, SilentMaster
from resqued.core.durations import show_seconds, show_size

EXAMPLES = """
\b
Examples:
  resqued top
  resqued top --interval 5
  resqued top | sort
  resqued top --json
"""
COLUMNS = (
    Column("PID", is_number=True),
    Column("GEN", is_number=True),
    Column("PHASE", styles=PHASES),
    Column("CPU %", is_number=True),
    Column("MEMORY", is_number=True),
    Column("OF", is_number=True),
    Column("TIME", is_number=True),
    Column("OF", is_number=True),
    Column("QUEUE"),
    Column("JOB", may_be_cut=True),
)
# To add up the pages of many processes takes a master its time.
PATIENCE = 10.0
# Near enough to a limit that a person should look.
NEAR = 0.8
# Title of the table, an empty line, the last line of the terminal.
_FRAME = 3
_QUIT = (b"q", b"Q")
_NO_LIMITS = JobLimits(runtime=None, memory=None)


class Sample(NamedTuple):
    """What one worker and its job had used at one time."""

    at: float
    cpu: float


Samples = dict[tuple[int, int], Sample]


@click.command(epilog=EXAMPLES)
@click.option(
    "--interval",
    type=Duration(least=0.1, most=3600.0),
    default="1s",
    show_default=True,
    metavar="TIME",
    help="How often to look.",
)
@json_option
@master_options
def top(
    interval: float, as_json: bool, config_file: str | None, pid: int | None
) -> None:
    """Show every worker of this host, its job, and what that uses, live.

    CPU and memory are those of the job with all processes that came of it; the
    memory is what is theirs alone, as limits count it. Near a limit (80 %) they
    are yellow, beyond it red. q or Ctrl-C leaves. Where the output is no terminal
    there is one look, whose CPU is the average since the job began.
    """
    found = masters.all_of(config_file, pid)
    if not found:
        raise masters.missing(config_file, pid)
    if as_json:
        show_json([protocol.as_dict(status) for status in _look(found)])
    elif sys.stdout.isatty():
        _watch(config_file, pid, interval)
    else:
        _print(_look(found))


def _look(found: Sequence[Address]) -> list[StatusReply | SilentMaster]:
    return requests.fetch_statuses(found, usage=True, patience=PATIENCE)


def _print(statuses: Sequence[StatusReply | SilentMaster]) -> None:
    for status in statuses:
        for line in headlines(status):
            show_line(line)
        if isinstance(status, StatusReply):
            show_table(COLUMNS, table_rows(status.workers, {}), empty="no workers")


# Live


def _watch(config_file: str | None, pid: int | None, interval: float) -> None:
    """Show what there is until a person has seen enough."""
    samples: Samples = {}
    screen = console()
    try:
        with _keys(), Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                statuses = _look(masters.all_of(config_file, pid))
                live.update(_frame(statuses, samples, screen.height), refresh=True)
                samples = taken(statuses, time.monotonic())
                if _is_quit_within(interval):
                    return
    except KeyboardInterrupt:
        return


@contextmanager
def _keys() -> Iterator[None]:
    """Get keys as they are struck, and show none of them."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _is_quit_within(seconds: float) -> bool:
    """Wait for so long; say whether a person wants to leave."""
    until = time.monotonic() + seconds
    watched = [sys.stdin] if sys.stdin.isatty() else []
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(watched, [], [], left)
        if ready:
            key = os.read(sys.stdin.fileno(), 1)
            if key in _QUIT:
                return True
            if not key:
                watched = []  # the terminal has gone; its SIGHUP comes
    return False


def _frame(
    statuses: Sequence[StatusReply | SilentMaster], samples: Samples, height: int
) -> Group:
    """Return what fits the terminal: who has run for longest comes first."""
    parts: list[Any] = []
    for status in statuses:
        lines = headlines(status)
        parts += [Text(clean(line), no_wrap=True) for line in lines]
        if isinstance(status, SilentMaster):
            continue
        rows = table_rows(status.workers, samples)
        room = max(1, height // len(statuses) - len(lines) - _FRAME)
        parts.append(rich_table(COLUMNS, rows[:room]))
        if len(rows) > room:
            parts.append(Text(f"and {len(rows) - room} more"))
        parts.append(Text())
    return Group(*parts or [Text("no master runs here any more; waiting for one")])


# Rows


def taken(statuses: Sequence[StatusReply | SilentMaster], at: float) -> Samples:
    """Return what each worker had used at a time, to compare with at the next."""
    return {
        _key(worker): Sample(at, worker.cpu)
        for status in statuses
        if isinstance(status, StatusReply)
        for worker in status.workers
        if worker.cpu is not None
    }


def _key(worker: PoolWorker) -> tuple[int, int]:
    return worker.pid or 0, worker.child or 0


def table_rows(
    workers: Sequence[PoolWorker], samples: Samples
) -> list[tuple[object, ...]]:
    """Return the workers as rows of COLUMNS: running ones first, oldest job first."""
    now = time.monotonic()
    ordered = sorted(workers, key=lambda w: (w.child is None, -(w.since or 0.0), w.id))
    return [_row(worker, samples.get(_key(worker)), now) for worker in ordered]


def _row(worker: PoolWorker, sample: Sample | None, now: float) -> tuple[object, ...]:
    job = worker.job
    limits = worker.limits if isinstance(worker.limits, JobLimits) else _NO_LIMITS
    runtime, memory = limits.runtime, limits.memory
    age, used = worker.since, worker.memory
    is_running = worker.child is not None
    share = cpu_share(worker, sample, now)
    return (
        worker.pid or "-",
        worker.generation,
        phase(worker),
        "-" if share is None else f"{100 * share:.0f}",
        "-" if used is None else _near(show_size(used), used, memory),
        show_size(memory) if memory else "",
        "-" if age is None else _near(show_seconds(int(age)), age, runtime),
        show_seconds(runtime) if runtime and is_running else "",
        job.queue if job else worker.queues,
        job.class_name if job else "",
    )


def _near(text: str, used: float, limit: float | None) -> Cell:
    """Return a figure in the colour that its limit gives it, if it has one."""
    share = used / limit if limit else 0.0
    return Cell(text, "bold red" if share > 1 else "yellow" if share > NEAR else "")


def cpu_share(worker: PoolWorker, sample: Sample | None, now: float) -> float | None:
    """Return the processors in use since the sample, or else since the job began.

    None where neither is known: of a worker that was not seen before and has no
    job there is no telling.
    """
    if worker.cpu is None:
        return None
    if sample is not None and now > sample.at:
        return max(0.0, worker.cpu - sample.cpu) / (now - sample.at)
    if worker.child is not None and worker.since:
        return worker.cpu / worker.since
    return None
