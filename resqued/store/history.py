"""Reads the history: series of counts and readings, and histograms of durations.

core/history_layout.py has the layout. Times are those of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from resqued.core.histogram import BUCKETS, total
from resqued.core.history_layout import (
    DAY,
    HISTOGRAM,
    HOUR,
    HOURS_KEPT,
    MINUTE,
    MINUTES_KEPT,
    TOTAL,
    VALUES,
    HistoryPeriod,
    class_scope,
    coarser,
    day_of,
    month_of,
    numbers,
    periods,
    queue_scope,
    readings,
)
from resqued.errors import ArgumentError
from resqued.store.connection import Link
from resqued.wire.keys import Keys

# The ranges, each with its seconds and the default seconds of a step.
RANGES = {
    "1h": (HOUR, MINUTE),
    "6h": (6 * HOUR, 5 * MINUTE),
    "24h": (DAY, 15 * MINUTE),
    "3d": (3 * DAY, HOUR),
    "30d": (30 * DAY, 6 * HOUR),
    "90d": (90 * DAY, DAY),
}
# How many keys are asked for their size in one round trip.
_PAGE = 500


class Points(Struct, frozen=True):
    """A series: `values[0]` is for the `step` seconds from `start`, and so on.

    `start` is in seconds since the epoch. A count is the sum over the step; a reading
    is the mean of those that were made in the step, or None if there were none.
    """

    start: int
    step: int
    values: tuple[int | None, ...]


class HistoryNames(Struct, frozen=True):
    """The classes and queues that have series; `*` stands for all others."""

    classes: tuple[str, ...]
    queues: tuple[str, ...]


class ClassRuns(Struct, frozen=True):
    """The runs of a class: how many have ended, and how many of them had failed.

    `milliseconds` is what all took together; `buckets` is their histogram
    (core/histogram.py).
    """

    done: int
    failed: int
    milliseconds: int
    buckets: tuple[int, ...]


class HistorySize(Struct, frozen=True):
    """How many keys the history has, and how many bytes of memory they take."""

    keys: int
    size: int


class History:
    """The history of one namespace.

    A range is one of RANGES, such as "24h"; it ends with the present step. A step is a
    number of seconds: a multiple of a minute in ranges up to "3d", else of an hour. Of
    the last three days there are minutes, and hours of the 90 days before. Methods
    raise ArgumentError for another range or step, and StoreError if Redis fails.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def total(self, value: str, span: str = "24h", step: int | None = None) -> Points:
        """Return a series of the whole namespace.

        Counts: `done` runs have ended, `failed` of them failed, and all together took
        `ms` milliseconds. Readings: `wait` jobs waited, `busy` of the `workers` ran a
        job, `failures` entries were kept, and `redis` used so many KiB of memory.
        """
        return self._series(TOTAL, value, span, step)

    def of_class(
        self, name: str, value: str, span: str = "24h", step: int | None = None
    ) -> Points:
        """Return a series of a class: `done`, `failed` or `ms`, as for `total`."""
        return self._series(class_scope(name), value, span, step)

    def of_queue(
        self, name: str, value: str, span: str = "24h", step: int | None = None
    ) -> Points:
        """Return a series of a queue: `done` or `wait`, as for `total`."""
        return self._series(queue_scope(name), value, span, step)

    def of_queues(
        self, names: Sequence[str], value: str, span: str = "1h"
    ) -> dict[str, Points]:
        """Return a series of each of some queues, for ranges up to "3d".

        All are read in two round trips. Raises ArgumentError for a longer range.
        """
        series = [(queue_scope(name), value) for name in names]
        return dict(zip(names, self.together(series, span), strict=True))

    def together(
        self, series: Sequence[tuple[str, str]], span: str = "1h"
    ) -> list[Points]:
        """Return some series, each named by scope and value, in two round trips.

        A scope is TOTAL, or made by class_scope or queue_scope. Raises ArgumentError
        for a range beyond "3d".
        """
        seconds, step = _chosen(span, None)
        for scope, value in series:
            if seconds > MINUTES_KEPT or value not in VALUES[scope[0]]:
                raise ArgumentError(f"no series {value!r} in the range {span}")
        start, end = _bounds(self._link.time(), seconds, step)
        found = self._read(series, start, end, months=False)
        return [
            Points(
                start, step, tuple(readings(coarser(m, step // MINUTE, value), value))
            )
            for m, (_, value) in zip(found, series, strict=True)
        ]

    def durations(self, class_name: str, span: str = "24h") -> tuple[int, ...]:
        """Return the histogram of a class in a range.

        In whole hours up to "3d", in whole days for longer ranges.
        """
        seconds, _ = _chosen(span, None)
        is_long = seconds > MINUTES_KEPT
        now = self._link.time()
        start, end = _bounds(now, seconds, DAY if is_long else HOUR)
        series = [(class_scope(class_name), HISTOGRAM)]
        if not is_long:
            (hours,) = self._read(series, start, end, months=False)
            return tuple(total(_rows(hours, BUCKETS)))
        (days,) = self._read(series, start, end, months=True)
        (hours,) = self._read(series, _recent(now), end, months=False)
        recent = [
            number
            for day in _rows(hours, DAY // HOUR * BUCKETS)
            for number in total(_rows(day, BUCKETS))
        ]
        return tuple(total(_rows(_with_recent(days, recent), BUCKETS)))

    def today(self) -> dict[str, ClassRuns]:
        """Return the runs of each class since midnight (UTC).

        These only grow until the next midnight, and begin at 0 then.
        """
        now = self._link.time()
        day = day_of(now)
        start, end = day.start, day.start + DAY
        classes = self._names((day, month_of(now))).classes
        scopes = [class_scope(name) for name in classes]
        series = [(scope, value) for scope in scopes for value in VALUES["c"]]
        days = self._read(series, start, end, months=False)
        months = self._read(series, start, end, months=True)
        found: dict[str, ClassRuns] = {}
        for number, name in enumerate(classes):
            at = number * len(VALUES["c"])
            done, failed, spent = (
                max(sum(days[at + n]), sum(months[at + n])) for n in range(3)
            )
            buckets = total(_rows(days[at + 3], BUCKETS)), months[at + 3]
            found[name] = ClassRuns(done, failed, spent, tuple(map(max, *buckets)))
        return found

    def names(self, span: str = "24h") -> HistoryNames:
        """Return the classes and queues that have series in a range."""
        seconds, step = _chosen(span, None)
        start, end = _bounds(self._link.time(), seconds, step)
        days = periods(max(start, end - MINUTES_KEPT), end, months=False)
        return self._names((*days, *periods(start, end, months=True)))

    def size(self) -> HistorySize:
        """Return what the history takes in memory."""
        now = self._link.time()
        start, end = int(now) - HOURS_KEPT, int(now) + 1
        days = periods(end - MINUTES_KEPT - 1, end, months=False)
        every = (*days, *periods(start, end, months=True))
        keys = iter([key for period in every for key in self._keys_of(period)])
        count = size = 0
        while page := list(islice(keys, _PAGE)):
            found = self._link.pipeline([("MEMORY", "USAGE", key) for key in page])
            count += sum(one is not None for one in found)
            size += sum(int(one or 0) for one in found)
        return HistorySize(count, size)

    def _keys_of(self, period: HistoryPeriod) -> list[str]:
        """Return the keys that a period may have."""
        scopes = [TOTAL, *self._scopes((period,))]
        series = [
            f"{scope}:{value}"
            for scope in scopes
            for value in VALUES.get(scope[:1], ())
        ]
        found = [self._keys.history(period.name, one) for one in series]
        own = (
            self._keys.history_names(period.name),
            self._keys.history_days(period.name),
        )
        return [*own, *found]

    def _scopes(self, found: Sequence[HistoryPeriod]) -> list[str]:
        names = self._link.pipeline(
            [("SMEMBERS", self._keys.history_names(period.name)) for period in found]
        )
        every = {name for members in names for name in members}
        return [name.decode("utf-8", "surrogateescape") for name in sorted(every)]

    def _names(self, found: Sequence[HistoryPeriod]) -> HistoryNames:
        scopes = self._scopes(found)
        return HistoryNames(
            *(tuple(one[2:] for one in scopes if one[0] == kind) for kind in "cq")
        )

    def _series(self, scope: str, value: str, span: str, step: int | None) -> Points:
        if value not in VALUES[scope[0]] or value == HISTOGRAM:
            known = ", ".join(one for one in VALUES[scope[0]] if one != HISTOGRAM)
            raise ArgumentError(f"{value!r} is no series of the history here: {known}")
        seconds, step = _chosen(span, step)
        now = self._link.time()
        start, end = _bounds(now, seconds, step)
        series = [(scope, value)]
        if step % HOUR:
            (minutes,) = self._read(series, start, end, months=False)
            found = coarser(minutes, step // MINUTE, value)
        else:
            (hours,) = self._read(series, start, end, months=True)
            recent = max(start, _recent(now))
            (minutes,) = self._read(series, recent, end, months=False)
            hours = _with_recent(hours, coarser(minutes, HOUR // MINUTE, value))
            found = coarser(hours, step // HOUR, value)
        return Points(start, step, tuple(readings(found, value)))

    def _read(
        self, series: Sequence[tuple[str, str]], start: int, end: int, *, months: bool
    ) -> list[list[int]]:
        """Return the numbers of series from the strings of days, or of months."""
        parts = [
            (period, value, self._keys.history(period.name, f"{scope}:{value}"))
            for scope, value in series
            for period in periods(start, end, months=months)
        ]
        places = [
            (
                period.place(value, max(start, period.start)),
                period.place(value, min(end, period.end)),
                period.width(value),
            )
            for period, value, _ in parts
        ]
        texts = self._link.read_each(
            [
                ("GETRANGE", key, first * width, last * width - 1)
                for (_, _, key), (first, last, width) in zip(parts, places, strict=True)
            ]
        )
        found = [
            numbers(text or b"", last - first, width)
            for text, (first, last, width) in zip(texts, places, strict=True)
        ]
        each = len(parts) // len(series) if series else 0
        return [
            [number for part in found[at : at + each] for number in part]
            for at in range(0, len(found), each or 1)
        ]


def _chosen(span: str, step: int | None) -> tuple[int, int]:
    """Return the seconds of a range and of its steps; raise ArgumentError."""
    if span not in RANGES:
        raise ArgumentError(f"{span!r} is no range of the history: {', '.join(RANGES)}")
    seconds, usual = RANGES[span]
    least = HOUR if seconds > MINUTES_KEPT else MINUTE
    step = usual if step is None else step
    if step < least or step % least or seconds % step:
        raise ArgumentError(
            f"a step of {step} s does not divide the range {span} into multiples of"
            f" {least} s"
        )
    return seconds, step


def _bounds(now: float, seconds: int, step: int) -> tuple[int, int]:
    """Return where a range begins and ends, with the step of `now` as its last."""
    end = (int(now) // step + 1) * step
    return end - max(seconds, step), end


def _recent(now: float) -> int:
    """Return from when on minutes are there, whole days of them."""
    return day_of(now).start - MINUTES_KEPT + DAY


def _rows(flat: Sequence[int], size: int) -> list[Sequence[int]]:
    return [flat[at : at + size] for at in range(0, len(flat), size)]


def _with_recent(numbers: Sequence[int], recent: Sequence[int]) -> list[int]:
    """Return the numbers with those of the last days, which are not summed yet.

    Of a day that was summed both are equal.
    """
    before = len(numbers) - len(recent)
    return [*numbers[:before], *map(max, numbers[before:], recent)]
