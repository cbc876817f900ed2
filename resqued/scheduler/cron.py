"""Cron expressions: the one place that knows cronsim.

Loaded only where a schedule has an expression. In the hour that a clock skips and in
the hour that it repeats, an expression means what it means to the cron of Debian: a job
at a fixed time runs once, one of every hour or minute runs as often as these pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


def check_cron(expression: str) -> None:
    """Raise ValueError, with the reason, for what is no expression."""
    if len(expression.split()) not in (5, 6):
        raise ValueError("not five fields, or six with the seconds first")
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(str(error)[:1].lower() + str(error)[1:]) from None


def check_zone(name: str) -> None:
    """Raise ValueError for what is no time zone of this host."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("not a time zone such as Europe/Vienna or UTC") from None


def times_after(expression: str, zone: str, after: int) -> Iterator[int]:
    """Yield the times of an expression after a time, in seconds since the epoch."""
    local = datetime.fromtimestamp(after, UTC if zone == "UTC" else ZoneInfo(zone))
    last = after
    try:
        for moment in CronSim(expression, local):
            # Begun in an hour that is repeated, it yields times of the first one too.
            if (time := int(moment.timestamp())) > last:
                last = time
                yield time
    except CronSimError:  # no such day in fifty years
        return
