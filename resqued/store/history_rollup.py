"""Sums the minutes of a day into hours, which are kept longer. Used by masters.

Every step can be repeated: a master that dies in the middle is followed by one that
begins with the same day again. Each method raises StoreError if Redis fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from resqued.core.histogram import BUCKETS, total
from resqued.core.history_layout import (
    DAY,
    HISTOGRAM,
    HOUR,
    MINUTE,
    MINUTES_KEPT,
    REST,
    TOTAL,
    VALUES,
    HistoryPeriod,
    added,
    coarser,
    day_of,
    month_of,
    numbers,
    packed,
)
from resqued.core.history_plan import plan_rollup
from resqued.store.connection import Link, Word
from resqued.wire.keys import Keys

_MINUTES, _HOURS = DAY // MINUTE, DAY // HOUR
# How long after the end of a day its minutes are summed, in seconds. A worker asks for
# the time and writes within one time-out.
_SETTLED = HOUR
# How many series are read at a time, when many become one.
_PAGE = 50


class HistoryRollup:
    """Sums the minutes of one namespace."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def due_days(self, now: float) -> list[HistoryPeriod]:
        """Return the days that are over and were not summed, the oldest first."""
        last = int(now) - _SETTLED
        days = [day_of(last - n * DAY) for n in range(MINUTES_KEPT // DAY, 0, -1)]
        found = self._link.pipeline(
            [("SISMEMBER", self._done_key(day), day.name) for day in days]
        )
        return [day for day, done in zip(days, found, strict=True) if not done]

    def steps(self, day: HistoryPeriod) -> Iterator[None]:
        """Sum the minutes of a day, a step at a time; at the end note that it is done.

        The classes and queues for which the month has no room are added to `*`.
        """
        month = month_of(day.start)
        names, taken = self._names(day), self._names(month)
        plan = plan_rollup(names, taken)
        rests = {scope for scope in names if scope.endswith(f":{REST}")}
        rests |= {f"{scope[0]}:{REST}" for scope in plan.folded}
        if plan.kept or rests:
            key = self._keys.history_names(month.name)
            self._change(month, [("SADD", key, *plan.kept, *sorted(rests))], [key])
        yield
        for scope in (TOTAL, *plan.kept):
            for value in VALUES[scope[0]]:
                self._write(month, day, scope, value, self._sum(day, [scope], value))
            yield
        for rest in sorted(rests):
            folded = [scope for scope in plan.folded if scope[0] == rest[0]]
            yield from self._fold(month, day, rest, [rest, *folded])
        key = self._done_key(day)
        self._change(month, [("SADD", key, day.name)], [key])
        yield

    def _fold(
        self,
        month: HistoryPeriod,
        day: HistoryPeriod,
        rest: str,
        scopes: Sequence[str],
    ) -> Iterator[None]:
        """Write the sum of many scopes as that of one, a page of them at each step."""
        for value in VALUES[rest[0]]:
            found: list[int] = []
            for at in range(0, len(scopes), _PAGE):
                page = self._sum(day, scopes[at : at + _PAGE], value)
                found = added(found, page, value) if found else page
                yield
            self._write(month, day, rest, value, found)
            yield

    def _sum(self, day: HistoryPeriod, scopes: Sequence[str], value: str) -> list[int]:
        """Return the hours of a day for scopes together, or its histogram."""
        texts = self._link.read_each(
            [
                ("GET", self._keys.history(day.name, f"{scope}:{value}"))
                for scope in scopes
            ]
        )
        if value == HISTOGRAM:
            rows = [numbers(text or b"", _HOURS * BUCKETS) for text in texts]
            return total(
                [row[at : at + BUCKETS] for row in rows for at in _every(BUCKETS)]
            )
        found = [0] * _HOURS
        for text in texts:
            hours = coarser(numbers(text or b"", _MINUTES), HOUR // MINUTE, value)
            found = added(found, hours, value)
        return found

    def _write(
        self,
        month: HistoryPeriod,
        day: HistoryPeriod,
        scope: str,
        value: str,
        found: Sequence[int],
    ) -> None:
        """Write the numbers of a day into the string of its month.

        A master that keeps hours alone, or a repeated step, may have written there
        before: the larger number stays.
        """
        if not any(found):
            return
        width, key = (
            month.width(value),
            self._keys.history(month.name, f"{scope}:{value}"),
        )
        begin = month.place(value, day.start) * width
        end = begin + len(found) * width
        before = self._link.call("GETRANGE", key, begin, end - 1)
        both = zip(found, numbers(before, len(found), width), strict=True)
        text = packed([max(pair) for pair in both], width)
        self._change(month, [("SETRANGE", key, begin, text)], [key])

    def _change(
        self,
        month: HistoryPeriod,
        commands: Sequence[tuple[Word, ...]],
        keys: Iterable[str],
    ) -> None:
        self._link.pipeline([*commands, *(("EXPIRE", key, month.kept) for key in keys)])

    def _names(self, period: HistoryPeriod) -> set[str]:
        members = self._link.members(self._keys.history_names(period.name))
        return {name.decode("utf-8", "surrogateescape") for name in members}

    def _done_key(self, day: HistoryPeriod) -> str:
        return self._keys.history_days(month_of(day.start).name)


def _every(size: int) -> range:
    return range(0, _HOURS * size, size)
