"""What an index keeps of each failure of a list: 21 bytes, in arrays.

Rows have the positions of their failures, counted from the head of the list. They grow
at both ends: upwards with new failures, downwards while the list is first read.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple


class FailureRow(NamedTuple):
    """One failure: digest, number of its group and origin, time, 1 if it was retried.

    The time is in seconds since the epoch, 0 if it is not known.
    """

    digest: int
    group: int
    origin: int
    time: int
    retried: int


class RowPart(NamedTuple):
    """Columns of some rows: group, origin, time, 1 if it was retried."""

    groups: array[int]
    origins: array[int]
    times: array[int]
    retried: array[int]


class _Part:
    """Rows in one direction."""

    def __init__(self) -> None:
        self.columns = tuple(array(kind) for kind in "QIIIB")

    def __len__(self) -> int:
        return len(self.columns[0])

    def add(self, row: FailureRow) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def get(self, at: int) -> FailureRow:
        return FailureRow(*(column[at] for column in self.columns))

    def put(self, at: int, row: FailureRow) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column[at] = value

    def remove(self, first: int, end: int) -> None:
        for column in self.columns:
            del column[first:end]


class FailureColumns:
    """Rows of the positions from `low` to below `high`."""

    def __init__(self, base: int = 0) -> None:
        self._base = base
        self._up, self._down = _Part(), _Part()
        self.moves = 0
        """How often rows were changed or removed; growth at the ends does not count."""

    @property
    def base(self) -> int:
        """The position from which rows grow upwards and downwards."""
        return self._base

    @property
    def low(self) -> int:
        """The lowest position that has a row."""
        return self._base - len(self._down)

    @property
    def high(self) -> int:
        """The position behind the highest one that has a row."""
        return self._base + len(self._up)

    def __len__(self) -> int:
        return len(self._up) + len(self._down)

    def add_above(self, row: FailureRow) -> None:
        """Add the row of the position `high`."""
        self._up.add(row)

    def add_below(self, row: FailureRow) -> None:
        """Add the row of the position below `low`."""
        self._down.add(row)

    def get(self, position: int) -> FailureRow:
        """Return the row of a position."""
        part, at = self._place(position)
        return part.get(at)

    def put(self, position: int, row: FailureRow) -> None:
        """Replace the row of a position."""
        part, at = self._place(position)
        part.put(at, row)
        self.moves += 1

    def _place(self, position: int) -> tuple[_Part, int]:
        if position >= self._base:
            return self._up, position - self._base
        return self._down, self._base - 1 - position

    def remove(self, first: int, end: int) -> None:
        """Remove the rows from `first` to below `end`; the higher ones move down."""
        self.moves += 1
        if end > self._base:
            self._up.remove(max(first, self._base) - self._base, end - self._base)
        if first < self._base:
            below = min(end, self._base)
            self._down.remove(self._base - below, self._base - first)
            self._base -= below - first

    def part(self, first: int, end: int) -> RowPart:
        """Return copies of the columns of the positions from `first` to below `end`.

        They are all at the base or above, and come in their order; or all below it, and
        come the highest first.
        """
        if first >= self._base:
            part, first, end = self._up, first - self._base, end - self._base
        else:
            part, first, end = self._down, self._base - end, self._base - first
        _, *columns = part.columns
        return RowPart(*(column[first:end] for column in columns))
