"""The layout of the history in Redis: series, periods, and places in strings.

A series is one string of numbers of fixed width for each period. The string of a day
has a number for each minute; that of a month has one for each hour. A number that was
never written is 0. Times are seconds since the epoch, on the clock of the server; days
and months are those of UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from struct import pack, unpack

from msgspec import Struct

from resqued.core.histogram import BUCKETS

# What stands for all classes, or queues, beyond the first 200 of a period.
REST = "*"
MOST_NAMES = 200
# Longer names are cut to so many bytes.
_MOST_BYTES = 200

MINUTE, HOUR, DAY = 60, 3600, 86400
# How long the strings of a day and of a month are kept after their last change.
MINUTES_KEPT, HOURS_KEPT = 3 * DAY, 90 * DAY

# The scope of what is counted for the whole namespace.
TOTAL = "t"
COUNTERS = ("done", "failed", "ms")
HISTOGRAM = "h"
# Numbers that are read once a minute. They are stored plus one: 0 is not known.
GAUGES = ("wait", "busy", "workers", "failures", "redis")
# The series of each kind of scope, by its first letter.
VALUES = {
    "t": (*COUNTERS, *GAUGES),
    "c": (*COUNTERS, HISTOGRAM),
    "q": ("done", "wait"),
}
# The largest number that the string of a day can hold.
LARGEST = (1 << 32) - 1


def class_scope(name: str) -> str:
    """Return the part of a series' name that stands for a class."""
    return f"c:{_cut(name)}"


def queue_scope(name: str) -> str:
    """Return the part of a series' name that stands for a queue."""
    return f"q:{_cut(name)}"


def rest_of(scope: str) -> str:
    """Return the scope that stands for the classes, or queues, beyond the limit."""
    return f"{scope[:1]}:{REST}"


def _cut(name: str) -> str:
    if len(name) * 4 <= _MOST_BYTES:
        return name
    raw = name.encode("utf-8", "surrogateescape")
    return (
        name if len(raw) <= _MOST_BYTES else raw[:_MOST_BYTES].decode(errors="ignore")
    )


class HistoryPeriod(Struct, frozen=True):
    """A day or a month: `name` is part of its keys, `start` is when it begins."""

    name: str
    start: int
    is_month: bool = False

    @property
    def kept(self) -> int:
        """For how many seconds its strings are kept after their last change."""
        return HOURS_KEPT if self.is_month else MINUTES_KEPT

    @property
    def end(self) -> int:
        """When the next period begins."""
        if not self.is_month:
            return self.start + DAY
        # A month has at most 31 days.
        return month_of(self.start + 32 * DAY).start

    def place(self, value: str, now: float) -> int:
        """Return the place of a time's number, or of the first of its histogram.

        A day has a number for each minute and a histogram for each hour; a month has a
        number for each hour and a histogram for each day.
        """
        seconds = int(now - self.start)
        if value == HISTOGRAM:
            return seconds // (DAY if self.is_month else HOUR) * BUCKETS
        return seconds // (HOUR if self.is_month else MINUTE)

    def width(self, value: str) -> int:
        """Return the bytes of a number: an hour of busy workers exceeds four."""
        return 8 if self.is_month and value == "ms" else 4


def day_of(now: float) -> HistoryPeriod:
    """Return the day of a time."""
    start = int(now) // DAY * DAY
    return HistoryPeriod(f"{datetime.fromtimestamp(start, UTC):%Y%m%d}", start)


def month_of(now: float) -> HistoryPeriod:
    """Return the month of a time."""
    first = datetime.fromtimestamp(int(now), UTC).replace(
        day=1, hour=0, minute=0, second=0
    )
    return HistoryPeriod(f"h:{first:%Y%m}", int(first.timestamp()), is_month=True)


def periods(start: int, end: int, *, months: bool) -> Iterator[HistoryPeriod]:
    """Yield the days, or months, that have a part of the time before `end`."""
    while start < end:
        period = month_of(start) if months else day_of(start)
        yield period
        start = period.end


def numbers(raw: bytes, count: int, width: int = 4) -> list[int]:
    """Return `count` numbers of a string, which may be shorter than they are."""
    raw = raw[: count * width].ljust(count * width, b"\0")
    return list(unpack(f">{count}{'Q' if width == 8 else 'I'}", raw))


def packed(values: Sequence[int], width: int = 4) -> bytes:
    """Return numbers as a part of a string; too large ones are cut to the largest."""
    most = LARGEST if width == 4 else (1 << 63) - 1
    kind = "Q" if width == 8 else "I"
    return pack(f">{len(values)}{kind}", *(min(value, most) for value in values))


def quiet_places(stored: Sequence[int], reading: int, tolerance: float = 0.0) -> range:
    """Return the places at the end of `stored` where `reading` holds as well.

    These are the ones that nobody has written since the same reading; none, if the
    last one that was written differs by more than `tolerance`, a part of it.
    """
    end = len(stored)
    known = next((at for at in reversed(range(end)) if stored[at]), None)
    if known is None or abs(stored[known] - reading) > tolerance * stored[known]:
        return range(end, end)
    return range(known + 1, end)


def is_gauge(value: str) -> bool:
    """Return True for a series of readings, False for one of counts."""
    return value in GAUGES


def coarser(values: Sequence[int], size: int, value: str) -> list[int]:
    """Return one number, as stored, for each `size` numbers of a series.

    The sum of counts; of readings the rounded mean of those that are known.
    """
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    if not is_gauge(value):
        return [sum(group) for group in groups]
    known = [[one - 1 for one in group if one] for group in groups]
    return [round(sum(group) / len(group)) + 1 if group else 0 for group in known]


def added(first: Sequence[int], second: Sequence[int], value: str) -> list[int]:
    """Return the sum of two series, number by number, as stored."""
    if not is_gauge(value):
        return [a + b for a, b in zip(first, second, strict=True)]
    return [a + b - (1 if a and b else 0) for a, b in zip(first, second, strict=True)]


def readings(stored: Sequence[int], value: str) -> list[int | None]:
    """Return the numbers that a series means; None for a reading that is not known."""
    if not is_gauge(value):
        return list(stored)
    return [number - 1 if number else None for number in stored]
