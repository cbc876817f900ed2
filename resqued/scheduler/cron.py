"""Cron expressions: the one place that knows cronsim.

Loaded only where a schedule has an expression. In the hour that a clock skips and in
the hour that it repeats, an expression means what it means to the cron of Debian: a job
at a fixed time runs once, one of every hour or minute runs as often as these pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from math import inf
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# Times from which the shortest gap of an expression is taken.
_LOOKED_AT = 100


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
        for moment in _simulated(expression, local):
            # Begun in an hour that is repeated, it yields times of the first one too.
            if (time := int(moment.timestamp())) > last:
                last = time
                yield time
    except CronSimError:  # no such day in fifty years
        return


def _simulated(expression: str, local: datetime) -> CronSim:
    """Return the times of an expression after a local time."""
    found = CronSim(expression, local)
    fields = expression.split()
    # The package treats a fixed time so if the expression has five fields: with the
    # seconds it leaves out a time in a skipped hour, and repeats one in a doubled hour.
    is_fixed = len(fields) == 6 and "*" not in (fields[1][0], fields[2][0])
    if is_fixed and local.tzinfo is not UTC:
        found.fixup_tz = local.tzinfo
        found.dt = found.dt.replace(tzinfo=None)
    return found


def shortest_gap(expression: str) -> float:
    """Return the shortest time between two times of an expression, in seconds.

    Looks at the first hundred from 2026 on; infinite if there are not two of them.
    """
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    times = islice(times_after(expression, "UTC", begin), _LOOKED_AT)
    return min((later - earlier for earlier, later in pairwise(times)), default=inf)
