"""Tables as data, and their two forms: on the terminal, and in the page in docs/."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Grid

PAGE = """\
# Benchmarks

resqued beside other libraries, and beside the *bare loop*: the smallest honest
worker in Python that runs each job in a forked child (one round trip to Redis per
job, the next child forked while a job runs, the heap frozen, nothing registered,
counted or logged). Whatever runs each job in a child of its own can approach it,
not beat it by much; a library that does not fork is another bargain, fast because
a job that leaks, crashes or hangs takes the worker with it.

`make bench` makes the measurements anew and writes this page.

## How

All are measured on one machine and one server, in rounds that take every library
once and each begin with another, so that noise hits all alike. Figures are medians
over the rounds. Every library runs the same two functions: one that does nothing,
and one that writes down the time. Settings are each library's defaults, save that
logs are at level warning for all, and that Celery runs without gossip, mingle and
heartbeats. By these defaults RQ keeps results and the others keep none.

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


def _markdown(table: Table) -> str:
    rule = ["---" if table.is_text(column) else "--:" for column in table.columns]
    lines = [table.columns, rule, *table.rows]
    grid = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {table.title}\n\n{table.text}\n\n{grid}\n"
