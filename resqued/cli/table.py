"""Tables for people and JSON for programs, on standard output.

On a terminal a table is as wide as that: columns are left out by their rank, and texts
are cut with `…`. Elsewhere, and with --wide, every column is shown in full, without
colour. Cells are cleaned here, so no command can forget to.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence

import click
from msgspec import Struct, field
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.text import Text

from resqued.cli.text import clean
from resqued.core.column_layout import GAP, ColumnNeed, fit_columns

# Narrower, a cell that is cut says nothing.
_SHORTEST = 6


class Column(Struct, frozen=True):
    """A column: its title, and how its cells are laid out.

    `rank` says how soon it is left out on a narrow terminal: the highest goes first,
    and 0, an ID, never. An ID is not cut either: if it is wider than the terminal, it
    continues in the next line. `least`: to how many cells the others may be cut; None
    if they may not.
    """

    title: str
    rank: int = 1
    is_number: bool = False
    least: int | None = None
    # Of a name that is cut, the end is shown and not the beginning.
    keeps_end: bool = False
    # What a cell looks like on a terminal, by its text.
    styles: Mapping[str, str] = field(default_factory=dict)
    # Shown only if the rows differ in it.
    tells_apart: bool = False


class Cell(Struct, frozen=True):
    """A cell that looks different from the others of its column on a terminal."""

    text: str
    style: str

    def __str__(self) -> str:
        return self.text


Rows = Sequence[Sequence[object]]


def room_of(*, is_wide: bool) -> int | None:
    """Return how many cells a line has; None if a table is to be shown in full."""
    return None if is_wide or not sys.stdout.isatty() else console().width


def show_table(
    columns: Sequence[Column], rows: Rows, *, empty: str, is_wide: bool = False
) -> None:
    """Print a table, or the line `empty` when there are no rows."""
    if not rows:
        click.echo(empty)
        return
    show_lines(table_lines(columns, rows, room_of(is_wide=is_wide)))


def show_lines(lines: Sequence[Text]) -> None:
    """Print lines, with their colours if the output is a terminal."""
    if sys.stdout.isatty():
        screen = console()
        for line in lines:
            screen.print(line, soft_wrap=True)
    else:
        click.echo("\n".join(line.plain for line in lines))


def console() -> Console:
    """Return the terminal; nothing in what it is given is markup."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)


def table_lines(columns: Sequence[Column], rows: Rows, room: int | None) -> list[Text]:
    """Return the lines of a table, the titles first, for so many cells in a line.

    With a `room` of None all columns are shown in full, however long a line becomes.
    Else a column without any text is left out as well.
    """
    cells = [
        [_text(cell, c) for c, cell in zip(columns, row, strict=True)] for row in rows
    ]
    widest = [
        max(cell_len(c.title), *(cell_len(row[i].plain) for row in cells))
        for i, c in enumerate(columns)
    ]
    used = [
        i
        for i, column in enumerate(columns)
        if _is_used(column, {row[i].plain for row in cells}, in_full=room is None)
    ]
    if room is None:
        widths = {i: widest[i] for i in used}
    else:
        needs = [_need(columns[i], widest[i]) for i in used]
        widths = {used[n]: w for n, w in fit_columns(needs, room).items()}
    titles = [Text(column.title, style="bold") for column in columns]
    return [
        line for row in (titles, *cells) for line in _lines_of(columns, row, widths)
    ]


def _is_used(column: Column, texts: set[str], *, in_full: bool) -> bool:
    """Return True if a column with these texts has a place in the table."""
    if column.tells_apart:
        return len(texts - {""}) > 1
    return in_full or not column.rank or bool(texts - {""})


def _need(column: Column, widest: int) -> ColumnNeed:
    if column.least is None:
        return ColumnNeed(widest, widest, column.rank)
    least = max(column.least, _SHORTEST, cell_len(column.title))
    return ColumnNeed(widest, min(widest, least), column.rank)


def _text(cell: object, column: Column) -> Text:
    text = clean(cell)
    style = cell.style if isinstance(cell, Cell) else column.styles.get(text, "")
    return Text(text, style=style)


def _lines_of(
    columns: Sequence[Column], row: Sequence[Text], widths: Mapping[int, int]
) -> list[Text]:
    """Return a row as lines: one, unless an ID is wider than its column."""
    parts = {i: _parts(row[i].plain, columns[i], width) for i, width in widths.items()}
    lines = []
    for number in range(max(map(len, parts.values()), default=0)):
        line = Text(no_wrap=True)
        for i, width in widths.items():
            text = parts[i][number] if number < len(parts[i]) else ""
            blank = " " * (width - cell_len(text))
            styled = Text(text, style=row[i].style)
            line.append_text(Text(blank) + styled if columns[i].is_number else styled)
            line.append(" " * GAP if columns[i].is_number else blank + " " * GAP)
        line.rstrip()
        lines.append(line)
    return lines


def _parts(text: str, column: Column, width: int) -> list[str]:
    """Return a cell as texts that are no wider than its column."""
    if cell_len(text) <= width:
        return [text]
    if not column.rank:
        return chop_cells(text, width)
    if column.keeps_end:
        # Arguments in parentheses go first, then the beginning of the name.
        name = text.partition("(")[0]
        if cell_len(name) < width:
            return [set_cell_size(text, width - 1).rstrip() + "…"]
        return ["…" + set_cell_size(name[::-1], width - 1).rstrip()[::-1]]
    return [set_cell_size(text, width - 1).rstrip() + "…"]


def show_line(text: object) -> None:
    """Print one line for people."""
    click.echo(clean(text))


def show_words(text: object, *, indent: int = 2) -> None:
    """Print a sentence; on a terminal it is broken between words."""
    for line in wrapped(clean(text), room_of(is_wide=False), indent):
        click.echo(line)


def show_json(value: object) -> None:
    """Print a value as JSON, in ASCII: it passes every terminal and locale."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=2, allow_nan=False)
    click.echo(text)


def wrapped(text: str, room: int | None, indent: int = 0) -> list[str]:
    """Return a text as lines of at most `room` cells, broken between words.

    Lines after the first begin with `indent` blanks more than the text does. A word
    that is longer than a line is not broken, so that it can be copied. With a room of
    None there is one line.
    """
    if room is None or cell_len(text) <= room:
        return [text]
    margin = len(text) - len(text.lstrip(" "))
    lines = [""]
    for blank, word in re.findall(r"( *)([^ ]+)", text):
        joined = f"{lines[-1]}{blank}{word}"
        if not lines[-1] or cell_len(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(" " * (margin + indent) + word)
    return lines


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
