"""Reads the time of a failure, as resqued, Ruby and node-resque write it (2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

# 2026/11/23 11:38:36 UTC, with the zone of the host that wrote it.
_OURS = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?: (\S+))?")
# Mon Nov 23 2026 12:01:44 GMT+0000 (Coordinated Universal Time)
_NODE = re.compile(
    r"\w{3} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d):(\d\d):(\d\d)"
    r" GMT([+-]\d{4})(?: \(.*\))?"
)
_MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,"
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def seconds_of(text: str) -> float | None:
    """Return the time that `failed_at` names, in seconds since the epoch.

    A zone other than UTC, GMT and an offset counts as that of this host. Returns None
    if the text is not such a time.
    """
    try:
        if match := _OURS.fullmatch(text.strip()):
            *parts, zone = match.groups()
            found = datetime(*map(int, parts), tzinfo=_zone(zone or ""))  # type: ignore[arg-type,misc] # six numbers
        elif match := _NODE.fullmatch(text.strip()):
            month, day, year, *clock, zone = match.groups()
            numbers = [
                int(year),
                _MONTHS.index(f"{month},") // 4 + 1,
                int(day),
                *map(int, clock),
            ]
            found = datetime(*numbers, tzinfo=_zone(zone))  # type: ignore[arg-type,misc] # six numbers
        else:
            return None
        return found.timestamp()
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> timezone | None:
    if name in ("UTC", "GMT", "Z"):
        return UTC
    if match := _OFFSET.fullmatch(name):
        length = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-length if match[1] == "-" else length)
    return None
