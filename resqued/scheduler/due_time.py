"""When a delayed job is due: from what an application says; pure."""

from __future__ import annotations

from datetime import datetime

from resqued.core import durations
from resqued.core.durations import Duration
from resqued.errors import ArgumentError
from resqued.store.delayed import Due

# A hundred years, in seconds. Who waits for longer has mixed up units.
_LONGEST = 100 * 366 * 86_400


def due_in(delay: Duration) -> Due:
    """Return when a job is due that waits for `delay`; raise ArgumentError."""
    try:
        seconds = durations.seconds(delay)
    except ValueError as error:
        raise ArgumentError(f"delay {delay!r}: {error}") from None
    if seconds > _LONGEST:
        raise ArgumentError(f"delay {delay!r} is longer than a hundred years")
    return Due(seconds, is_from_now=True)


def due_at(when: datetime) -> Due:
    """Return when a job is due that waits until `when`; raise ArgumentError."""
    if not isinstance(when, datetime):
        raise ArgumentError(
            f"time {when!r} is not a datetime; enqueue_in takes durations"
        )
    if when.utcoffset() is None:
        raise ArgumentError(
            f"time {when.isoformat(' ')} has no time zone: write"
            " datetime.now(UTC) + timedelta(…), or when.astimezone() for local time"
        )
    return Due(when.timestamp(), is_from_now=False)
