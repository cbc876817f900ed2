"""Writes the history: runs that workers have counted, and readings of a master.

core/history_layout.py has the layout. Each method raises StoreError if Redis fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from resqued.core.history_layout import (
    COUNTERS,
    HISTOGRAM,
    LARGEST,
    MINUTE,
    MOST_NAMES,
    TOTAL,
    HistoryPeriod,
    class_scope,
    day_of,
    month_of,
    numbers,
    queue_scope,
    quiet_places,
    rest_of,
)
from resqued.core.run_tally import RunTally
from resqued.store.connection import Link, Word
from resqued.store.script import Script
from resqued.wire.keys import Keys

HISTORY_NAMES = Script("history_names")

# For how many seconds one master has the turn to write the readings of a minute.
_TURN = 55
# The bytes of a number in the string of a day.
_WIDTH = 4
# The memory of the server is the same if it differs by no more than this part.
_MEMORY_NOISE = 0.01

Command = tuple[Word, ...]


class HistoryWriter:
    """Writes the history of one namespace: by minutes, or with `by_hour` by hours."""

    def __init__(self, link: Link, keys: Keys, *, by_hour: bool = False) -> None:
        self._link = link
        self._keys = keys
        self._by_hour = by_hour
        # The scopes that have series of their own in a period.
        self._period = ""
        self._own: set[str] = set()

    def period_of(self, now: float) -> HistoryPeriod:
        """Return the period whose strings have the numbers of a time."""
        return month_of(now) if self._by_hour else day_of(now)

    def add_runs(self, tally: RunTally) -> None:
        """Add the runs of a worker to the present minute, or hour, of the server."""
        now = self._link.time()
        period = self.period_of(now)
        classes = [(class_scope(name), row) for name, row in tally.classes.items()]
        queues = [(queue_scope(name), n) for name, n in tally.queues.items()]
        self._admit(period, (scope for scope, _ in (*classes, *queues)))
        commands: list[Command] = []
        sums = [0] * len(COUNTERS)
        for scope, row in classes:
            own = self._place(scope)
            counts, buckets = row[: len(sums)], row[len(sums) :]
            commands += self._counts(period, now, own, counts)
            commands += self._buckets(period, now, own, buckets)
            sums = [a + b for a, b in zip(sums, counts, strict=True)]
        for scope, done in queues:
            commands += self._counts(period, now, self._place(scope), (done,))
        commands += self._counts(period, now, TOTAL, sums)
        self._link.pipeline(commands)

    def take_turn(self, owner: str) -> tuple[float, bool]:
        """Return the server's time, and whether `owner` has the turn of this minute."""
        time, taken = self._link.pipeline(
            [
                ("TIME",),
                ("SET", self._keys.history_turn, owner, "NX", "EX", _TURN),
            ]
        )
        return int(time[0]) + int(time[1]) / 1e6, bool(taken)

    def set_readings(
        self,
        now: float,
        readings: Mapping[str, int],
        waiting: Mapping[str, int],
        *,
        quiet: float = 0.0,
    ) -> None:
        """Write the readings of the minute, or hour, of `now`.

        `readings` are those of the whole namespace by the name of the series; `waiting`
        has the length of each queue. If nothing happened for the `quiet` seconds before
        `now`, a reading that is the same as the one before them is that of their
        minutes as well.
        """
        period = self.period_of(now)
        full = sorted(waiting, key=lambda name: -waiting[name])[:MOST_NAMES]
        self._admit(period, (queue_scope(name) for name in full if waiting[name]))
        known = {
            name.decode("utf-8", "surrogateescape")
            for name in self._link.members(self._keys.history_names(period.name))
        }
        found: dict[str, int] = {}
        for name, length in waiting.items():
            scope = queue_scope(name)
            # An empty queue without a series of its own needs none.
            if length or scope in known:
                own = scope if scope in known else rest_of(scope)
                found[own] = found.get(own, 0) + length
        # Plus one, because 0 is not known.
        stored = {
            **{(TOTAL, value): min(n + 1, LARGEST) for value, n in readings.items()},
            **{(scope, "wait"): min(n + 1, LARGEST) for scope, n in found.items()},
        }
        minutes = 0 if self._by_hour else max(0, int(quiet) // MINUTE)
        self._link.pipeline(list(self._readings(period, now, stored, minutes)))

    def _readings(
        self,
        period: HistoryPeriod,
        now: float,
        stored: Mapping[tuple[str, str], int],
        minutes: int,
    ) -> Iterable[Command]:
        """Yield what writes readings, as they are stored, and their quiet minutes.

        The minutes before midnight stay as they are: they are in another string.
        """
        place = period.place("wait", now)
        first = max(0, place - minutes - 1)
        keys = {
            name: self._keys.history(period.name, ":".join(name)) for name in stored
        }
        before: dict[tuple[str, str], Sequence[int]] = dict.fromkeys(stored, ())
        if minutes:
            span = (first * _WIDTH, place * _WIDTH - 1)
            found = self._link.read_each(
                [("GETRANGE", k, *span) for k in keys.values()]
            )
            before = {
                name: numbers(raw or b"", place - first)
                for name, raw in zip(stored, found, strict=True)
            }
        for name, reading in stored.items():
            noise = _MEMORY_NOISE if name == (TOTAL, "redis") else 0.0
            quiet = quiet_places(before[name], reading, noise)
            words: list[Word] = []
            for at in (*(first + each for each in quiet), place):
                words += ["SET", "u32", f"#{at}", reading]
            yield ("BITFIELD", keys[name], "OVERFLOW", "SAT", *words)
            yield ("EXPIRE", keys[name], period.kept)

    def _admit(self, period: HistoryPeriod, scopes: Iterable[str]) -> None:
        """Find out which scopes have series of their own in the period."""
        if period.name != self._period:
            self._period, self._own = period.name, set()
        new = [scope for scope in dict.fromkeys(scopes) if scope not in self._own]
        if new:
            key = self._keys.history_names(period.name)
            args = (str(MOST_NAMES), str(period.kept), *new)
            replies = HISTORY_NAMES(self._link, (key,), args)
            self._own |= {one for one, own in zip(new, replies, strict=True) if own}

    def _place(self, scope: str) -> str:
        return scope if scope in self._own else rest_of(scope)

    def _counts(
        self, period: HistoryPeriod, now: float, scope: str, counts: Sequence[int]
    ) -> Iterable[Command]:
        for value, count in zip(COUNTERS, counts, strict=False):
            if count:
                place = f"#{period.place(value, now)}"
                kind = "i64" if period.width(value) == 8 else "u32"
                words: list[Word] = ["INCRBY", kind, place, count]
                yield from self._bitfield(period, f"{scope}:{value}", *words)

    def _buckets(
        self, period: HistoryPeriod, now: float, scope: str, buckets: Sequence[int]
    ) -> Iterable[Command]:
        first = period.place(HISTOGRAM, now)
        words: list[Word] = []
        for number, count in enumerate(buckets, first):
            if count:
                words += ["INCRBY", "u32", f"#{number}", count]
        yield from self._bitfield(period, f"{scope}:{HISTOGRAM}", *words)

    def _bitfield(
        self, period: HistoryPeriod, series: str, *words: Word
    ) -> Iterable[Command]:
        key = self._keys.history(period.name, series)
        yield ("BITFIELD", key, "OVERFLOW", "SAT", *words)
        yield ("EXPIRE", key, period.kept)
