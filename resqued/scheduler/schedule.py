"""What a recurring job is, and the ticks at which it is enqueued; pure.

A tick is a time in seconds since the epoch. Every master computes the same ticks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from resqued.core import durations

MISSED = ("skip", "once", "all")
# From so many seconds on, a rule is a mistake, and programs do not show it.
LONGEST = 10 * 365 * 86_400
# A tick that is later than so many seconds was missed.
GRACE = 60
# A clock that was set back by more than so many seconds had been wrong: ticks begin at
# its new time. After less, they wait until the time has passed again, as with Debian's
# cron.
CORRECTION = 3 * 3_600
# The most ticks that are enqueued in one step with missed = "all".
MOST = 100
# How far back to look for the last tick, in seconds: not at each second of a year.
_SPANS = (3_600, 86_400, 32 * 86_400, 400 * 86_400)


class Schedule(Struct, frozen=True):
    """A job that is enqueued again and again: by `cron`, or `every` so many seconds.

    Each tick is up to `jitter` seconds late, always by the same time. `missed` is what
    happens with ticks that no master has seen: skip, once or all. With `overlap` of
    False a tick is left out while an equal job waits in the queue or runs.
    """

    name: str
    class_name: str
    queue: str
    args: tuple[Any, ...] = ()
    cron: str = ""
    every: float = 0.0
    zone: str = "UTC"
    jitter: float = 0.0
    missed: Literal["skip", "once", "all"] = "once"
    overlap: bool = True
    description: str = ""

    @property
    def rule(self) -> str:
        """The rule in one text, as tables show it."""
        if self.cron:
            return self.cron if self.zone == "UTC" else f"{self.cron} {self.zone}"
        return f"every {durations.show_seconds(self.every)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, without those that have their defaults."""
        defaults = asdict(Schedule("", "", ""))
        fields = asdict(self) | {"args": list(self.args)}
        return {k: v for k, v in fields.items() if v != defaults[k] and v != []}


class Judgement(NamedTuple):
    """The ticks to enqueue now, and the last tick that is then dealt with."""

    ticks: tuple[int, ...]
    last: int


def ticks_after(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield the ticks after a time; those of `every` are its multiples."""
    if schedule.cron:
        # An application without schedules loads neither cronsim nor zones.
        from resqued.scheduler.cron import times_after

        yield from times_after(schedule.cron, schedule.zone, after)
        return
    number = int(after // schedule.every) + 1
    while True:
        tick = round(number * schedule.every)
        if tick > after:
            yield tick
        number += 1


def due_time(schedule: Schedule, tick: int) -> int:
    """Return when a tick is enqueued: with its jitter."""
    if not schedule.jitter:
        return tick
    spread = zlib.crc32(f"{schedule.name} {tick}".encode())
    return tick + spread % (int(schedule.jitter) + 1)


def next_due(schedule: Schedule, last: int) -> int | None:
    """Return when the tick after the last one is enqueued; None if there is none."""
    tick = next(ticks_after(schedule, last), None)
    return None if tick is None else due_time(schedule, tick)


def judge(schedule: Schedule, last: int, now: int) -> Judgement:
    """Return what to enqueue of the ticks after `last` that are due at `now`.

    If `last` is so late that the clock must have been wrong, nothing, and `now`.
    """
    if last > now + CORRECTION:
        return Judgement((), now)
    if schedule.missed == "all":
        due = tuple(islice(_due(schedule, last, now), MOST))
        return Judgement(due, due[-1] if due else last)
    for span in _SPANS:
        found = tuple(_due(schedule, max(last, now - span), now))
        if found or now - span <= last:
            break
    else:
        found = tuple(islice(_due(schedule, last, now), 1000))
    if not found:
        return Judgement((), last)
    latest = found[-1]
    is_late = now - due_time(schedule, latest) > GRACE
    if schedule.missed == "skip" and is_late:
        return Judgement((), latest)
    return Judgement((latest,), latest)


def _due(schedule: Schedule, after: int, now: int) -> Iterator[int]:
    for tick in ticks_after(schedule, after):
        if due_time(schedule, tick) > now:
            return
        yield tick
