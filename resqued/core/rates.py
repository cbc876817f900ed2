"""How fast a queue grows or drains, from the readings of the last minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# A change of less than so many jobs a minute, and this share of them, is none.
_LEAST, _LEAST_SHARE = 1.0, 0.002
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

Direction = Literal["empty", "grows", "drains", "steady", "stalled", "unknown"]


@dataclass(frozen=True, slots=True)
class QueueTrend:
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
    seconds, the oldest first; None where nothing is known.
    """
    if not waiting:
        return QueueTrend("empty")
    known = [(place, one) for place, one in enumerate(waits) if one is not None]
    ended = [one for one in done if one is not None]
    minutes = step / _MINUTE
    rate = sum(ended) / (len(ended) * minutes) if ended else 0.0
    if len(known) > 1:
        (first, before), (last, after) = known[0], known[-1]
        change = (after - before) / ((last - first) * minutes)
        if abs(change) >= max(_LEAST, _LEAST_SHARE * waiting):
            if change > 0:
                return QueueTrend("grows", change)
            return QueueTrend("drains", change, waiting / -change * _MINUTE)
    if rate > 0:
        return QueueTrend("steady", 0.0, waiting / rate * _MINUTE)
    return QueueTrend("stalled" if ended and len(known) > 1 else "unknown")


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
