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
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

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
from resqued.core.durations import show_seconds, show_size
from resqued.diagnostics.local_masters import LocalMasters, Master, fetch_pools
from resqued.diagnostics.pool_view import PoolView, PoolWorker
from resqued.diagnostics.worker_usage import (
    Samples,
    WorkerUsage,
    take_samples,
    usage_of,
)

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
def top(interval: float, as_json: bool, meant: LocalMasters) -> None:
    """Show every worker of this host, its job, and what that uses, live.

    CPU and memory are those of the job with all processes that came of it; the
    memory is what is theirs alone, as limits count it. Near a limit (80 %) they
    are yellow, beyond it red. q or Ctrl-C leaves. Where the output is no terminal
    there is one look, whose CPU is the average since the job began.
    """
    found = meant.require()
    if as_json:
        show_json([pool.as_dict() for pool in _look(found)])
    elif sys.stdout.isatty():
        _watch(meant, interval)
    else:
        _print(_look(found))


def _look(found: Sequence[Master]) -> list[PoolView]:
    return fetch_pools(found, usage=True, patience=PATIENCE)


def _print(pools: Sequence[PoolView]) -> None:
    for pool in pools:
        for line in headlines(pool):
            show_line(line)
        if not pool.error:
            show_table(COLUMNS, table_rows(pool.workers, {}), empty="no workers")


# Live


def _watch(meant: LocalMasters, interval: float) -> None:
    """Show what there is until a person has seen enough."""
    samples: Samples = {}
    screen = console()
    try:
        with _keys(), Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                pools = _look(meant.find())
                live.update(_frame(pools, samples, screen.height), refresh=True)
                samples = take_samples(pools, time.monotonic())
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


def _frame(pools: Sequence[PoolView], samples: Samples, height: int) -> Group:
    """Return what fits the terminal: who has run for longest comes first."""
    parts: list[Any] = []
    for pool in pools:
        lines = headlines(pool)
        parts += [Text(clean(line), no_wrap=True) for line in lines]
        if pool.error:
            continue
        rows = table_rows(pool.workers, samples)
        room = max(1, height // len(pools) - len(lines) - _FRAME)
        parts.append(rich_table(COLUMNS, rows[:room]))
        if len(rows) > room:
            parts.append(Text(f"and {len(rows) - room} more"))
        parts.append(Text())
    return Group(*parts or [Text("no master runs here any more; waiting for one")])


# Rows


def table_rows(
    workers: Sequence[PoolWorker], samples: Samples
) -> list[tuple[object, ...]]:
    """Return the workers as rows of COLUMNS: running ones first, oldest job first."""
    return [_row(usage) for usage in usage_of(workers, samples, time.monotonic())]


def _row(usage: WorkerUsage) -> tuple[object, ...]:
    worker, share = usage.worker, usage.processors
    age, used, job = worker.since, worker.memory, worker.job
    runtime, memory = usage.limits.runtime, usage.limits.memory
    return (
        worker.pid or "-",
        worker.generation,
        phase(worker),
        "-" if share is None else f"{100 * share:.0f}",
        "-" if used is None else _near(show_size(used), usage.memory_share),
        show_size(memory) if memory else "",
        "-" if age is None else _near(show_seconds(int(age)), usage.runtime_share),
        show_seconds(runtime) if runtime and worker.child is not None else "",
        job.queue if job else worker.queues,
        job.class_name if job else "",
    )


def _near(text: str, share: float) -> Cell:
    """Return a figure in the colour that its share of a limit gives it."""
    return Cell(text, "bold red" if share > 1 else "yellow" if share > NEAR else "")
