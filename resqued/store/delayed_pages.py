"""Delayed jobs a page at a time, at the same cost however many there are.

A page begins at a time, not at a number: nothing before it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from resqued.core.history_layout import DAY
from resqued.store.connection import Link
from resqued.store.delayed import PAGE, DelayedJob
from resqued.wire.keys import Keys

# Times whose lists are counted in one round trip.
_MOST_COUNTED = 1_000
# Elements of one list that are looked at for a job, from its last place and the head.
_WINDOW, _MOST_SEARCHED = 100, 20_000


class PlacedJob(Struct, frozen=True):
    """A delayed job, and its position in the list of its time."""

    job: DelayedJob
    position: int

    @property
    def token(self) -> str:
        """The text by which `find` finds it again: time, position and id."""
        return f"{self.job.time}:{self.position}:{self.job.id}"


class DelayedPage(Struct, frozen=True):
    """Some delayed jobs, those first that are due first.

    `next_time` and `next_skip` are where the next page begins; "" and 0 after the last.
    """

    jobs: Sequence[PlacedJob]
    next_time: str = ""
    next_skip: int = 0


class DayCount(Struct, frozen=True):
    """How many times of a day have jobs, and how many jobs; None if those are many.

    `start` is midnight in UTC, in seconds since the epoch.
    """

    start: int
    times: int
    jobs: int | None = None


class DelayedPages:
    """The delayed jobs of one namespace. Raises StoreError if Redis fails."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def page(self, start: str = "", skip: int = 0, count: int = 50) -> DelayedPage:
        """Return up to `count` jobs from a time on, without the first `skip` of it."""
        times = self._times(start or "-inf", count + 1)
        lengths = self._link.read_each([("LLEN", self._keys.delayed(t)) for t in times])
        parts: list[tuple[str, int, int]] = []
        room = count
        for number, (time, length) in enumerate(zip(times, lengths, strict=True)):
            first = skip if number == 0 else 0
            taken = min(room, max(0, (length or 0) - first))
            parts.append((time, first, taken))
            room -= taken
            if not room:
                break
        after, before = self._after(parts, times, lengths)
        return DelayedPage(self._placed(parts), after, before)

    def _after(
        self,
        parts: Sequence[tuple[str, int, int]],
        times: Sequence[str],
        lengths: Sequence[int | None],
    ) -> tuple[str, int]:
        """Return where the page after some parts begins: time, and jobs to skip."""
        if not parts:
            return "", 0
        time, first, taken = parts[-1]
        if first + taken < (lengths[len(parts) - 1] or 0):
            return time, first + taken
        return (times[len(parts)], 0) if len(parts) < len(times) else ("", 0)

    def _placed(self, parts: Sequence[tuple[str, int, int]]) -> list[PlacedJob]:
        wanted = [part for part in parts if part[2]]
        found = self._link.read_each(
            [
                ("LRANGE", self._keys.delayed(time), first, first + taken - 1)
                for time, first, taken in wanted
            ]
        )
        return [
            PlacedJob(DelayedJob.read(item, time), first + number)
            for (time, first, _), items in zip(wanted, found, strict=True)
            for number, item in enumerate(items or ())
        ]

    def _times(self, start: str, most: int) -> list[str]:
        key = self._keys.delayed_schedule
        found = self._link.call("ZRANGEBYSCORE", key, start, "+inf", "LIMIT", 0, most)
        return [time.decode("utf-8", "surrogateescape") for time in found]

    def at(self, time: str, start: int = 0, count: int = PAGE) -> list[PlacedJob]:
        """Return jobs that are due at a time, from a position on."""
        return self._placed([(time, start, count)])

    def count_at(self, time: str) -> int:
        """Return how many jobs are due at a time."""
        (found,) = self._link.read_each([("LLEN", self._keys.delayed(time))])
        return found or 0

    def count_times(self) -> int:
        """Return at how many times jobs are due."""
        (found,) = self._link.read_each([("ZCARD", self._keys.delayed_schedule)])
        return found or 0

    def days(self, now: float, count: int) -> list[DayCount]:
        """Return what is due on each of the next days (UTC), from today on."""
        first = int(now) // DAY * DAY
        starts = [first + number * DAY for number in range(count)]
        key = self._keys.delayed_schedule
        times = self._link.pipeline(
            [("ZCOUNT", key, start, f"({start + DAY}") for start in starts]
        )
        if not 0 < sum(times) <= _MOST_COUNTED:
            return [DayCount(s, int(n)) for s, n in zip(starts, times, strict=True)]
        jobs = dict.fromkeys(starts, 0)
        for time, length in self._lengths(first, first + count * DAY):
            jobs[int(time) // DAY * DAY] += length
        return [
            DayCount(s, int(n), jobs[s]) for s, n in zip(starts, times, strict=True)
        ]

    def _lengths(self, start: int, end: int) -> Iterator[tuple[float, int]]:
        key = self._keys.delayed_schedule
        found = self._link.call(
            *("ZRANGEBYSCORE", key, start, f"({end}", "LIMIT", 0, _MOST_COUNTED)
        )
        times = [time.decode("utf-8", "surrogateescape") for time in found]
        lengths = self._link.read_each([("LLEN", self._keys.delayed(t)) for t in times])
        for time, length in zip(times, lengths, strict=True):
            if _is_number(time) and start <= float(time) < end:
                yield float(time), length or 0

    def find(self, token: str) -> DelayedJob | None:
        """Return the job of a token, wherever it is now in the list of its time.

        None if it is gone, or behind the first 20,000 of its time.
        """
        time, _, rest = token.partition(":")
        position, _, job_id = rest.partition(":")
        if not position.isdecimal() or len(position) > 9:
            return None
        near = max(0, int(position) - _WINDOW)
        for placed in self.at(time, near, _WINDOW + 1):
            if placed.job.id == job_id:
                return placed.job
        for start in range(0, _MOST_SEARCHED, PAGE):
            page = self.at(time, start)
            for placed in page:
                if placed.job.id == job_id:
                    return placed.job
            if len(page) < PAGE:
                break
        return None


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False
