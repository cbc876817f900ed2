"""Tables for people and JSON for programs, on standard output.

On a terminal rich lays a table out; elsewhere there are plain aligned columns,
without colour or lines. Cells are cleaned here, so no command can forget to.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resqued.cli.text import clean


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and how its cells are laid out."""

    title: str
    is_number: bool = False
    # May be cut short on a narrow terminal; others are folded, to be copied whole.
    may_be_cut: bool = False
    # What a cell looks like on a terminal, by its text.
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that looks different from the others of its column on a terminal."""

    text: str
    style: str

    def __str__(self) -> str:
        return self.text


def show_table(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], *, empty: str
) -> None:
    """Print a table, or the line `empty` when there are no rows."""
    if not rows:
        click.echo(empty)
        return
    if sys.stdout.isatty():
        console().print(rich_table(columns, rows))
    else:
        click.echo(_plain(columns, [[clean(cell) for cell in row] for row in rows]))


def console() -> Console:
    """Return the terminal; nothing in what it is given is markup."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            overflow="ellipsis" if column.may_be_cut else "fold",
            no_wrap=column.may_be_cut,
        )
    for row in rows:
        # Text, not str: rich reads markup in a str.
        table.add_row(
            *(_text(cell, column) for column, cell in zip(columns, row, strict=True))
        )
    return table


def _text(cell: object, column: Column) -> Text:
    text = clean(cell)
    style = cell.style if isinstance(cell, Cell) else column.styles.get(text, "")
    return Text(text, style=style)


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    lines = [[column.title for column in columns], *rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            _pad(cell, width, to_the_right=column.is_number)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )


def _pad(cell: str, width: int, *, to_the_right: bool) -> str:
    blank = " " * (width - cell_len(cell))
    return blank + cell if to_the_right else cell + blank


def show_line(text: object) -> None:
    """Print one line for people."""
    click.echo(clean(text))


def show_json(value: object) -> None:
    """Print a value as JSON, in ASCII: it passes every terminal and locale."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=2, allow_nan=False)
    click.echo(text)


def _finite(value: object) -> object:
    """Return a value with `1e999` of a payload, which JSON has not, as text."""
    match value:
        case float():
            return value if math.isfinite(value) else repr(value)
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
