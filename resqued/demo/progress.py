"""Progress while the demo runs: live bars on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from msgspec import Struct
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# When to print a line: after so many seconds, or so large a share of the jobs.
_LINE_EVERY = 5.0
_LINE_EACH = 0.1
_BAR_WIDTH = 40


class Line(Struct, frozen=True):
    """The progress of one queue: how many jobs have ended, and how many exist."""

    queue: str
    over: int
    total: int


class Snapshot(Struct, frozen=True):
    """The progress of all queues, and the running jobs: worker's pid and text."""

    lines: Sequence[Line]
    running: Sequence[tuple[int, str]] = ()

    @property
    def over(self) -> int:
        """The number of jobs that have ended."""
        return sum(line.over for line in self.lines)

    @property
    def total(self) -> int:
        """The number of all jobs."""
        return sum(line.total for line in self.lines)


class Progress:
    """Shows the steps of the demo and the progress of its jobs; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        if console.is_interactive and console.file.isatty():
            # No auto-refresh: its thread would make forking unsafe.
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        self._printed_at = 0.0
        self._printed = 0.0

    def __enter__(self) -> Self:
        """Start the live display, if there is a terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the live display; only the steps stay on the terminal."""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print one line about a step of the demo."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Show the progress: redraw the bars, or print a line if one is due."""
        if self._live:
            self._live.update(_picture(snapshot), refresh=True)
        elif self._is_due(snapshot):
            running = ", ".join(what for _, what in snapshot.running) or "nothing"
            self.say(f"{snapshot.over} of {snapshot.total} jobs; running: {running}")

    def _is_due(self, snapshot: Snapshot) -> bool:
        share = snapshot.over / snapshot.total if snapshot.total else 1.0
        now = time.monotonic()
        if share - self._printed < _LINE_EACH and now - self._printed_at < _LINE_EVERY:
            return False
        self._printed, self._printed_at = share, now
        return True


def _picture(snapshot: Snapshot) -> Group:
    bars = Table.grid(padding=(0, 2))
    for line in snapshot.lines:
        bars.add_row(
            Text(line.queue),
            ProgressBar(total=line.total, completed=line.over, width=_BAR_WIDTH),
            Text(f"{line.over}/{line.total}"),
        )
    workers = Table.grid(padding=(0, 2))
    for pid, what in snapshot.running:
        workers.add_row(Text(f"worker {pid}", "dim"), Text(what))
    return Group(bars, workers)
