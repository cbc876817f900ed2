"""The failures of an index that a filter has, kept up with its rows.

The thread of the index counts them, a slice of rows at a time. Pages get what has been
counted so far, and never count themselves.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import compress, islice
from operator import and_
from typing import overload

from msgspec import Struct, field

from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_columns import FailureColumns, RowPart
from resqued.web.failure_groups import FailureGroups

# How many rows are judged at a time; it takes some milliseconds.
_SLICE = 20_000


class ListedPlace(Struct, frozen=True):
    """Where a failure is: the name of its list, and its position."""

    list_name: str
    position: int


class Positions(Sequence[int]):
    """Positions in a list, the highest first. Later growth is not seen."""

    def __init__(self, up: array[int], down: array[int]) -> None:
        """Take positions that rise, and those below them, which fall."""
        self._up, self._ups = up, len(up)
        self._down, self._downs = down, len(down)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._ups + self._downs

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        """Return the one of a rank, the highest has 0; or those of a slice."""
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        below = at - self._ups
        return self._up[-below - 1] if below < 0 else self._down[below]


_NONE: Mapping[str, Positions] = {}


class Matches(Struct, frozen=True):
    """The failures that a filter has: positions by list, and their counts.

    Times are seconds since the epoch; 0 if none is known. `is_complete` is False while
    they are counted for the first time.
    """

    positions: Mapping[str, Positions] = field(default_factory=lambda: _NONE)
    classes: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    oldest: int = 0
    newest: int = 0
    is_complete: bool = False

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.positions.values()))

    def places(self, most: int) -> list[ListedPlace]:
        """Return some of them, the newest of a list first."""
        return [*islice(self._places(), most)]

    def _places(self) -> Iterator[ListedPlace]:
        for name, positions in self.positions.items():
            for position in positions:
                yield ListedPlace(name, position)


class _Counted(Struct):
    """What is counted of one list: the rows from `low` to below `high`."""

    columns: FailureColumns
    moves: int
    low: int
    high: int
    up: array[int] = field(default_factory=lambda: array("I"))
    down: array[int] = field(default_factory=lambda: array("I"))
    groups: Counter[int] = field(default_factory=Counter)
    origins: Counter[int] = field(default_factory=Counter)
    oldest: int = 0
    newest: int = 0

    @classmethod
    def of(cls, columns: FailureColumns) -> _Counted:
        return cls(columns, columns.moves, columns.base, columns.base)

    def fits(self, columns: FailureColumns) -> bool:
        """Return False if rows that were counted have changed or moved."""
        return columns is self.columns and columns.moves == self.moves

    @property
    def is_complete(self) -> bool:
        return (self.low, self.high) == (self.columns.low, self.columns.high)

    def next_slice(self) -> tuple[range, RowPart]:
        """Return the positions that come next, and their rows; they count as done."""
        columns = self.columns
        if self.high < columns.high:
            first, self.high = self.high, min(self.high + _SLICE, columns.high)
            return range(first, self.high), columns.part(first, self.high)
        end, self.low = self.low, max(self.low - _SLICE, columns.low)
        return range(end - 1, self.low - 1, -1), columns.part(self.low, end)

    def add(self, positions: range, rows: RowPart, chosen: bytes) -> None:
        """Count those rows of a slice that are chosen, each with 1."""
        (self.up if positions.step > 0 else self.down).extend(
            compress(positions, chosen)
        )
        self.groups.update(compress(rows.groups, chosen))
        self.origins.update(compress(rows.origins, chosen))
        times = sorted({*filter(None, compress(rows.times, chosen))})
        if times:
            self.oldest = min(self.oldest or times[0], times[0])
            self.newest = max(self.newest, times[-1])


class FilterMatches:
    """The matches of one filter, in all lists or in one.

    Only the thread of the index calls `turn`.
    """

    def __init__(
        self, which: FailureFilter, list_name: str | None, groups: FailureGroups
    ) -> None:
        assert which.text is None
        self._which = which
        self._list_name = list_name
        self._groups = groups
        self._has_group, self._has_origin = bytearray(), bytearray()
        self._shown: dict[str, _Counted] = {}
        self._next: dict[str, _Counted] = {}
        self.looked_at = time.monotonic()
        self.is_counted = threading.Event()

    def turn(self, lists: Mapping[str, FailureColumns | None]) -> bool:
        """Count a slice of each list; return False when there is nothing to count."""
        wanted = {
            name: columns
            for name, columns in lists.items()
            if columns is not None and self._list_name in (None, name)
        }
        is_busy = False
        for name, columns in wanted.items():
            is_busy |= self._turn_of(name, columns)
        with self._groups.lock:
            for gone in set(self._shown) - set(wanted):
                del self._shown[gone]
        if not is_busy:
            self.is_counted.set()
        return is_busy

    def _turn_of(self, name: str, columns: FailureColumns) -> bool:
        counted = self._next.get(name) or self._shown.get(name)
        if counted is None or not counted.fits(columns):
            counted = _Counted.of(columns)
            if name in self._shown:
                # The last numbers are shown until there are new ones.
                self._next[name] = counted
            else:
                self._shown[name] = counted
        if not counted.is_complete:
            with self._groups.lock:
                positions, rows = counted.next_slice()
                self._learn_groups()
            chosen = self._judge(rows)
            with self._groups.lock:
                counted.add(positions, rows, chosen)
        if counted.is_complete and name in self._next:
            self._shown[name] = self._next.pop(name)
        return not counted.is_complete

    def _learn_groups(self) -> None:
        groups, origins = self._groups.fitting(
            self._which, len(self._has_group), len(self._has_origin)
        )
        self._has_group += groups
        self._has_origin += origins

    def _judge(self, rows: RowPart) -> bytes:
        """Return 1 for each row that the filter has, and 0 for the others."""
        which = self._which
        tests: list[Iterable[int]] = [map(self._has_group.__getitem__, rows.groups)]
        if (which.queue, which.host) != (None, None):
            tests.append(map(self._has_origin.__getitem__, rows.origins))
        if which.is_retried is not None:
            tests.append(map(int(which.is_retried).__eq__, rows.retried))
        if (which.since, which.until) != (None, None):
            # A row whose time is not known has 0.
            tests.append(map(max(1.0, which.since or 0.0).__le__, rows.times))
        if which.until is not None:
            tests.append(map(float(which.until).__gt__, rows.times))
        return bytes(reduce(lambda one, other: map(and_, one, other), tests))

    def result(self) -> Matches:
        """Return what has been counted so far."""
        with self._groups.lock:
            parts = [*self._shown.values()]
            groups, origins = Counter[int](), Counter[int]()
            for part in parts:
                groups.update(part.groups)
                origins.update(part.origins)
            return Matches(
                {name: Positions(p.up, p.down) for name, p in self._shown.items()},
                self._groups.classes(groups),
                self._groups.queues(origins),
                min(filter(None, (part.oldest for part in parts)), default=0),
                max((part.newest for part in parts), default=0),
                self.is_counted.is_set(),
            )
