"""How fast a queue grows or drains, from the readings of the last minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

# A change of less than so many jobs a minute, and this share of them, is none.
_LEAST, _LEAST_SHARE = 1.0, 0.002
# A change that is not so many times its standard error is noise.
_CERTAIN = 2.5
# A trend needs readings that are so many minutes apart; the last one is at most so old.
_LEAST_SPAN, _OLDEST = 3, 3
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

Direction = Literal["empty", "grows", "drains", "steady", "stalled", "unknown"]


class QueueTrend(Struct, frozen=True):
    """Where a queue goes.

    `per_minute` is by how many jobs it grows, negative if it drains. `seconds` is how
    long what waits now takes at this rate; None if that cannot be said.
    """

    direction: Direction
    per_minute: float = 0.0
    seconds: float | None = None

    @property
    def words(self) -> str:
        """The trend in words, such as `drains in ~4 min`; "" if none is known."""
        match self.direction:
            case "grows":
                return f"grows by {_count(self.per_minute)}/min"
            case "drains":
                return f"drains in {_about(self.seconds or 0)}"
            case "steady":
                return f"{_about(self.seconds or 0)} at this rate"
            case "stalled":
                return "nothing is done"
            case _:
                return ""


def queue_trend(
    waiting: int,
    waits: Sequence[int | None],
    done: Sequence[int | None],
    step: int = 60,
) -> QueueTrend:
    """Return the trend of a queue in which `waiting` jobs wait now.

    `waits` are readings of its length, and `done` the jobs that ended, each for `step`
    seconds, the oldest first, with the same places; None where nothing is known. The
    trend is unknown unless the readings are some minutes apart, and the last is new.
    """
    if not waiting:
        return QueueTrend("empty")
    minutes = step / _MINUTE
    span = _span(waits, minutes)
    if span is None:
        return QueueTrend("unknown")
    first, _ = span
    change = _slope(waits, minutes)
    if abs(change) >= max(_LEAST, _LEAST_SHARE * waiting):
        if change > 0:
            return QueueTrend("grows", change)
        return QueueTrend("drains", change, waiting / -change * _MINUTE)
    rate = per_minute(done[first:], step)
    if rate:
        return QueueTrend("steady", 0.0, waiting / rate * _MINUTE)
    return QueueTrend("unknown" if rate is None else "stalled")


def recent_rate(
    counts: Sequence[int | None], waits: Sequence[int | None], step: int = 60
) -> float | None:
    """Return how much is counted per minute since the first of the readings.

    A count of 0 may be one that nobody has made; readings show that the history was
    kept. None if they do not span some minutes, or end too early.
    """
    span = _span(waits, step / _MINUTE)
    return None if span is None else per_minute(counts[span[0] :], step)


def _span(waits: Sequence[int | None], minutes: float) -> tuple[int, int] | None:
    """Return the places of the first and last reading; None if they say too little."""
    known = [place for place, one in enumerate(waits) if one is not None]
    if not known or (known[-1] - known[0]) * minutes < _LEAST_SPAN:
        return None
    is_old = (len(waits) - 1 - known[-1]) * minutes > _OLDEST
    return None if is_old else (known[0], known[-1])


def _slope(waits: Sequence[int | None], minutes: float) -> float:
    """Return by how much readings change per minute; 0 if that may be noise.

    It is the slope of the line through all of them, by least squares.
    """
    known = [(n * minutes, one) for n, one in enumerate(waits) if one is not None]
    at = sum(time for time, _ in known) / len(known)
    mean = sum(one for _, one in known) / len(known)
    width = sum((time - at) ** 2 for time, _ in known)
    slope = sum((time - at) * (one - mean) for time, one in known) / width
    missed = sum((one - mean - slope * (time - at)) ** 2 for time, one in known)
    error = math.sqrt(missed / max(1, len(known) - 2) / width)
    return slope if abs(slope) >= _CERTAIN * error else 0.0


def per_minute(counts: Sequence[int | None], step: int = 60) -> float | None:
    """Return the mean of counts as a number per minute; None if none is known."""
    known = [one for one in counts if one is not None]
    return sum(known) * _MINUTE / (len(known) * step) if known else None


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _about(seconds: float) -> str:
    for size, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size or (size == _MINUTE and seconds >= size):
            return f"~{seconds / size:.0f} {unit}"
    return f"~{max(1, seconds):.0f} s"
