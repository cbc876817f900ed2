"""Progress while the demo runs: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Often enough to show that it lives, seldom enough for the log of a CI job.
_LINE_EVERY = 5.0
_LINE_EACH = 0.1
_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Line:
    """How far one queue has come."""

    queue: str
    over: int
    total: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far the whole has come, and what runs now: by worker's pid, in words."""

    lines: Sequence[Line]
    running: Sequence[tuple[int, str]] = ()

    @property
    def over(self) -> int:
        """How many jobs are over."""
        return sum(line.over for line in self.lines)

    @property
    def total(self) -> int:
        """How many there will be."""
        return sum(line.total for line in self.lines)


class Progress:
    """Shows the steps of the demo, and how far its jobs are; enter it first."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        if console.is_interactive and console.file.isatty():
            # Drawn when we say so: a thread would be one too many to fork with.
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        self._told_at = 0.0
        self._told = 0.0

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back, with nothing but the steps left on it."""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Tell of a step."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, moment: Snapshot) -> None:
        """Show how far it is."""
        if self._live:
            self._live.update(_picture(moment), refresh=True)
        elif self._is_due(moment):
            running = ", ".join(what for _, what in moment.running) or "nothing"
            self.say(f"{moment.over} of {moment.total} jobs; running: {running}")

    def _is_due(self, moment: Snapshot) -> bool:
        share = moment.over / moment.total if moment.total else 1.0
        now = time.monotonic()
        if share - self._told < _LINE_EACH and now - self._told_at < _LINE_EVERY:
            return False
        self._told, self._told_at = share, now
        return True


def _picture(moment: Snapshot) -> Group:
    bars = Table.grid(padding=(0, 2))
    for line in moment.lines:
        bars.add_row(
            Text(line.queue),
            ProgressBar(total=line.total, completed=line.over, width=_BAR_WIDTH),
            Text(f"{line.over}/{line.total}"),
        )
    workers = Table.grid(padding=(0, 2))
    for pid, what in moment.running:
        workers.add_row(Text(f"worker {pid}", "dim"), Text(what))
    return Group(bars, workers)
