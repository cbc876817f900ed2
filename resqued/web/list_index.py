"""The index of one list of failures: reads it in batches, and follows its changes.

Runs in the thread of the index, never in a request. Redis is asked for at most 1,000
entries or about 1 MB at a time.
"""

from __future__ import annotations

import random
import time

from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.web.failure_columns import FailureColumns, FailureRow
from resqued.web.failure_groups import FailureGroups

BATCH, BATCH_BYTES = 1_000, 1 << 20
# After so many rows other threads get their turn, for so many seconds: a page waits
# for this thread as often as it asks Redis.
_ROWS, _PAUSE = 50, 0.000_3
# How many rows are removed at a time.
_DROPPED = 2_000
_FIRST_BATCH = 100
_SAMPLES = 4
# How many removed entries in a row are looked for; how many places are repaired, before
# the list is read again.
_LONGEST_GAP, _MOST_REPAIRS = 20_000, 200


class ListIndex:
    """The rows of one list. `turn` reads one batch; call it until it returns False.

    Only one thread calls `turn`; others may read the rows while they hold the lock of
    the groups.
    """

    def __init__(self, link: Link, key: str, groups: FailureGroups, most: int) -> None:
        self._link = link
        self._key = key
        self._groups = groups
        self._most = most
        self._size = _FIRST_BATCH
        self._repairs = 0
        self.columns: FailureColumns | None = None
        self.length = 0
        """How many entries the list had at the last turn."""

    @property
    def wanted(self) -> int:
        """How many rows there will be."""
        return min(self.length, self._most)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return 0 if self.columns is None else len(self.columns)

    @property
    def is_complete(self) -> bool:
        """Whether all wanted entries have been read."""
        return self.rows >= self.wanted

    def turn(self) -> bool:
        """Read one batch; return False if there was nothing to read.

        Raises StoreError if Redis does not answer.
        """
        self.length = int(self._link.call("LLEN", self._key))
        if self.columns is None:
            self.columns = FailureColumns(self.length)
        columns = self.columns
        misfit = None if self.length < columns.high else self._misfit()
        if self.length < columns.high or misfit == columns.high - 1:
            self._repair()
            return True
        if misfit is not None:
            # Nothing has moved, but entries have other bytes, as of retried failures.
            self._count_repair()
            self._rewrite(max(columns.low, misfit - self._size // 2))
            return True
        self._repairs = 0
        if self.length > columns.high:
            self._read_above()
            return True
        if self.rows < self.wanted and columns.low > 0:
            self._read_below()
            return True
        return False

    def clear(self) -> None:
        """Forget all rows; the next turn begins with the newest entries."""
        if self.columns is not None:
            self._drop(self.columns.low, self.columns.high)
        self.columns, self._repairs = None, 0

    def _read(self, first: int, end: int) -> list[FailureRow]:
        """Return the rows of some entries, which are not counted yet."""
        entries = self._link.call("LRANGE", self._key, first, end - 1)
        if entries:
            average = sum(map(len, entries)) // len(entries) + 1
            self._size = max(1, min(BATCH, BATCH_BYTES // average))
        rows = []
        for number, entry in enumerate(entries, 1):
            rows.append(self._groups.row_of(entry))
            if number % _ROWS == 0:
                time.sleep(_PAUSE)
        return rows

    def _read_above(self) -> None:
        assert self.columns is not None
        high = self.columns.high
        rows = self._read(high, min(high + self._size, self.length))
        with self._groups.lock:
            for row in rows:
                self._groups.add(row)
                self.columns.add_above(row)
        excess = self.rows - self._most - self._most // 10
        if excess > 0:
            self._drop(self.columns.low, self.columns.low + excess)

    def _read_below(self) -> None:
        assert self.columns is not None
        low = self.columns.low
        missing = self.wanted - self.rows
        first = max(0, low - min(self._size, missing))
        rows = self._read(first, low)
        with self._groups.lock:
            for row in reversed(rows):
                self._groups.add(row)
                self.columns.add_below(row)

    def _drop(self, first: int, end: int) -> None:
        """Remove rows whose entries are gone; those above move down."""
        assert self.columns is not None
        while first < end:
            start = max(first, end - _DROPPED)
            with self._groups.lock:
                for position in range(start, end):
                    self._groups.drop(self.columns.get(position))
                self.columns.remove(start, end)
            end = start

    def _digests(self, positions: list[int]) -> list[int | None]:
        entries = self._link.pipeline(
            [("LINDEX", self._key, position) for position in positions]
        )
        return [
            None if entry is None else int(Failure(entry).id, 16) for entry in entries
        ]

    def _misfit(self) -> int | None:
        """Return the highest position of a sample whose entry is another, or None.

        The highest row is in the sample: a removal anywhere below moves it.
        """
        columns = self.columns
        assert columns is not None
        if not len(columns):
            return None
        end = columns.high
        # While the list is read, the highest one has to do: a look into the middle of a
        # long list takes Redis two milliseconds.
        samples = _SAMPLES if self.is_complete else 0
        positions = [random.randrange(columns.low, end) for _ in range(samples)]
        positions.append(end - 1)
        found = self._digests(positions)
        return max(
            (
                position
                for position, digest in zip(positions, found, strict=True)
                if digest != columns.get(position).digest
            ),
            default=None,
        )

    def _count_repair(self) -> None:
        """Read the list again if it changes so much that repairs do not pay."""
        self._repairs += 1
        if self._repairs > _MOST_REPAIRS:
            self.clear()
            self.columns = FailureColumns(self.length)

    def _repair(self) -> None:
        """Mend the lowest place from which rows and list differ."""
        self._count_repair()
        columns = self.columns
        assert columns is not None
        if self.length <= columns.low:
            self.clear()
            return
        place = self._first_difference()
        if place >= self.length:
            self._drop(place, columns.high)
            return
        (there,) = self._digests([place])
        end = min(columns.high, place + _LONGEST_GAP)
        for position in range(place + 1, end):
            if columns.get(position).digest == there:
                self._drop(place, position)
                return
        self._rewrite(place)

    def _first_difference(self) -> int:
        """Return the lowest position whose entry is another, if all above differ too.

        It is the length of the list, or above, if none does.
        """
        assert self.columns is not None
        low, high = self.columns.low, min(self.columns.high, self.length)
        while low < high:
            middle = (low + high) // 2
            (digest,) = self._digests([middle])
            if digest == self.columns.get(middle).digest:
                low = middle + 1
            else:
                high = middle
        return low

    def _rewrite(self, place: int) -> None:
        """Read a batch again that holds other bytes, as of retried failures."""
        assert self.columns is not None
        rows = self._read(place, min(place + self._size, self.columns.high))
        with self._groups.lock:
            for position, row in enumerate(rows, place):
                self._groups.drop(self.columns.get(position))
                self._groups.add(row)
                self.columns.put(position, row)
