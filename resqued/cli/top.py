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

from resqued.cli.masters import headlines, master_options, show_headlines
from resqued.cli.options import Duration, json_option, wide_option
from resqued.cli.table import (
    Cell,
    Column,
    console,
    show_json,
    show_table,
    table_lines,
)
from resqued.cli.text import clean
from resqued.cli.worker_table import NAMESPACE, STATES, state_of
from resqued.core.durations import show_seconds, show_size
from resqued.diagnostics.local_masters import LocalMasters
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
    Column("PID", rank=0, is_number=True),
    Column("GEN", rank=8, is_number=True),
    Column("STATE", styles=STATES),
    Column("CPU %", rank=3, is_number=True),
    Column("MEMORY", rank=4, is_number=True),
    Column("OF", rank=7, is_number=True),
    Column("TIME", rank=2, is_number=True),
    Column("OF", rank=6, is_number=True),
    NAMESPACE,
    Column("QUEUE", rank=5, least=8),
    Column("JOB", rank=2, least=16, keeps_end=True),
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
@wide_option
@json_option
@master_options
def top(interval: float, is_wide: bool, as_json: bool, meant: LocalMasters) -> None:
    """Show, live, the workers of this host and what their jobs use.

    CPU and memory are those of the job with all processes that came of it; the
    memory is what is theirs alone, as limits count it. Near a limit (80 %) they
    are yellow, beyond it red. q or Ctrl-C leaves. Where the output is no terminal
    there is one look, whose CPU is the average since the job began.
    """
    found = meant.require(usage=True, patience=PATIENCE)
    if as_json:
        show_json([pool.as_dict() for pool in found])
    elif sys.stdout.isatty():
        _watch(meant, interval, is_wide=is_wide)
    else:
        _print(found)


def _print(pools: Sequence[PoolView]) -> None:
    for pool in pools:
        show_headlines(pool)
        if not pool.error:
            show_table(COLUMNS, table_rows(pool.workers, {}), empty="no workers")


# Live


def _watch(meant: LocalMasters, interval: float, *, is_wide: bool) -> None:
    """Show what there is until a person has seen enough."""
    samples: Samples = {}
    screen = console()
    try:
        with _keys(), Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                pools = meant.survey(usage=True, patience=PATIENCE).meant
                room = None if is_wide else screen.width
                live.update(_frame(pools, samples, screen.height, room), refresh=True)
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


def _frame(
    pools: Sequence[PoolView], samples: Samples, height: int, width: int | None
) -> Group:
    """Return what fits the terminal: the workers with the oldest jobs come first.

    With a `width` of None the lines have all columns, and the terminal cuts them.
    """
    parts: list[Any] = []
    for pool in pools:
        lines = headlines(pool)
        parts += [Text(clean(line), no_wrap=True) for line in lines]
        if pool.error:
            continue
        rows = table_rows(pool.workers, samples)
        room = max(1, height // len(pools) - len(lines) - _FRAME)
        for line in table_lines(COLUMNS, rows[:room], width) if rows else ():
            line.overflow = "crop"
            parts.append(line)
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
        state_of(worker),
        "-" if share is None else f"{100 * share:.0f}",
        "-" if used is None else _near(show_size(used), usage.memory_share),
        show_size(memory) if memory else "",
        "-" if age is None else _near(show_seconds(int(age)), usage.runtime_share),
        show_seconds(runtime) if runtime and worker.child is not None else "",
        worker.namespace,
        job.queue if job else worker.queues,
        job.class_name if job else "",
    )


def _near(text: str, share: float) -> Cell:
    """Return a figure in the colour that its share of a limit gives it."""
    return Cell(text, "bold red" if share > 1 else "yellow" if share > NEAR else "")
