"""Tables as data, and their two forms: on the terminal, and in the page in docs/."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Grid

# The section that `make bench-web` writes.
WEB_TITLE = "## The web front end"

PAGE = """\
# Benchmarks

These benchmarks compare resqued with other libraries, and with the *bare loop*. The
bare loop is the smallest possible worker in Python that runs each job in a forked
child. It makes one round trip to Redis per job, forks the next child while a job
runs, freezes the heap, and registers, counts and logs nothing. A library that runs
each job in a separate child can come close to it, but cannot be much faster. A
library that does not fork is faster, but a job that leaks, crashes or hangs then
affects its worker.

`make bench` makes all measurements and writes this page, but for the web front end,
which `make bench-web` measures.

## How

All libraries are measured on one machine and one server, in rounds. Each round
measures every library once, and begins with a different one, so that other load
affects all of them equally. Figures are medians over the rounds. Every library runs the
same two functions: one does nothing, and one records the time. Each library has its
default settings, except that all log at level warning and that Celery runs without
gossip, mingle and heartbeats. By default RQ keeps results and the other libraries do
not. The libraries are installed without tools of development: some packages import more
if those are there.

| | |
|---|---|
{machine}
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report. The first column is text, the others are figures
    unless they are named in `words`.
    """

    title: str
    text: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()

    def is_text(self, column: str) -> bool:
        """Return True if a column holds text, which is aligned to the left."""
        return column == self.columns[0] or column in self.words


def show(console: Console, table: Table) -> None:
    """Print a table on the terminal."""
    grid = Grid(title=table.title, title_justify="left", title_style="bold")
    for column in table.columns:
        grid.add_column(column, justify="left" if table.is_text(column) else "right")
    for row in table.rows:
        grid.add_row(*(cell.replace("`", "") for cell in row))
    console.print(grid)


def page(machine: Sequence[tuple[str, str]], tables: Sequence[Table]) -> str:
    """Return the page as Markdown; `machine` are the rows of the first table."""
    head = PAGE.format(machine="\n".join(f"| {a} | {b} |" for a, b in machine))
    return "\n".join([head, *map(_markdown, tables)])


def web_section(page: str) -> str:
    """Return the section of a page that `make bench-web` has written; "" if none."""
    _, mark, rest = page.partition(f"\n{WEB_TITLE}\n")
    return f"{mark}{rest.partition(chr(10) + '## ')[0].rstrip()}\n" if mark else ""


def _markdown(table: Table) -> str:
    rule = ["---" if table.is_text(column) else "--:" for column in table.columns]
    lines = [table.columns, rule, *table.rows]
    grid = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {table.title}\n\n{table.text}\n\n{grid}\n"
