"""Times as Resque, resqued and node-resque write them (wire format 2.3).

The functions that write one take seconds since the epoch.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_EPOCH = re.compile(r"[0-9]{1,10}")

# 2026/11/27 22:58:27 UTC, 2026-11-27 22:58:27 +0100, 2026-11-27T22:58:27Z
_WRITTEN = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(?: ?(\S+))?"
)

# Fri Nov 27 2026 22:58:27 GMT+0100 (Central European Standard Time)
_JAVASCRIPT = re.compile(
    r"\w{3} (\w{3}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([-+]\d{4})(?: \(.*\))?"
)
_MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,"

_UTC_NAMES = {"UTC", "GMT", "Z"}


def failed_at(now: float) -> str:
    """Return the time of a failure as Ruby writes it: local, with zone (2.3)."""
    return time.strftime("%Y/%m/%d %H:%M:%S %Z", time.localtime(now))


def retried_at(now: float) -> str:
    """Return the time of a retry as Ruby writes it in a list per queue: no zone."""
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now))


def run_at(now: float) -> str:
    """Return the time at which a run began: ISO 8601 in UTC (2.3)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def started(now: float) -> str:
    """Return the time at which a worker started: local, with offset (2.3)."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))


def heartbeat(now: float) -> str:
    """Return a heartbeat: ISO 8601 with a numeric offset, never Z (2.3)."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    return f"{text[:-2]}:{text[-2:]}"


def read(text: str) -> datetime | None:
    """Return an aware datetime; None if the text is no time, or its zone is unknown.

    The name of a zone is known if it is UTC, or a zone of this host at that time. A
    time without a zone is in that of this host.
    """
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        if match := _WRITTEN.fullmatch(text):
            year, month, day, clock, zone = match.groups()
        elif match := _JAVASCRIPT.fullmatch(text):
            name, day, year, clock, zone = match.groups()
            month = f"{_MONTHS.index(f'{name},') // 4 + 1:02}"
        else:
            return None
        found = _in_zone(f"{year}-{month}-{day}T{clock}", zone)
        # In UTC it may be before the year 1, or after 9999, which no date can hold.
        return found if found is None or found.astimezone(UTC) else None
    except (ValueError, OverflowError, OSError):
        return None


def _in_zone(clock: str, zone: str | None) -> datetime | None:
    if zone is None:
        return datetime.fromisoformat(clock).astimezone()
    if zone in _UTC_NAMES:
        return datetime.fromisoformat(clock).replace(tzinfo=UTC)
    if zone[0] in "+-":
        return datetime.fromisoformat(clock + zone)
    naive = datetime.fromisoformat(clock)
    # In the hour that the clock is put back, the name tells which of two times it is.
    moments = (naive.replace(fold=fold).astimezone() for fold in (0, 1))
    return next((moment for moment in moments if moment.tzname() == zone), None)
