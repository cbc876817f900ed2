"""Times as Resque, resqued and node-resque write them, as datetimes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_EPOCH = re.compile(r"[0-9]{1,10}")

# 2026/11/27 22:58:27 UTC, 2026-11-27 22:58:27 +0100, 2026-11-27T22:58:27Z
_WRITTEN = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? ?(\S+)"
)

# Fri Nov 27 2026 22:58:27 GMT+0100 (Central European Standard Time)
_JAVASCRIPT = re.compile(
    r"\w{3} (\w{3}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([-+]\d{4})(?: \(.*\))?"
)
_MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,"

_UTC_NAMES = {"UTC", "GMT", "Z"}


def read(text: str) -> datetime | None:
    """Return an aware datetime; None if the text is no time, or its zone is unknown.

    The name of a zone is known if it is UTC, or a zone of this host at that time.
    """
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        if match := _WRITTEN.fullmatch(text):
            year, month, day, time, zone = match.groups()
        elif match := _JAVASCRIPT.fullmatch(text):
            name, day, year, time, zone = match.groups()
            month = f"{_MONTHS.index(f'{name},') // 4 + 1:02}"
        else:
            return None
        return _in_zone(f"{year}-{month}-{day}T{time}", zone)
    except (ValueError, OverflowError, OSError):
        return None


def _in_zone(time: str, zone: str) -> datetime | None:
    if zone in _UTC_NAMES:
        return datetime.fromisoformat(time).replace(tzinfo=UTC)
    if zone[0] in "+-":
        return datetime.fromisoformat(time + zone)
    naive = datetime.fromisoformat(time)
    # In the hour that the clock is put back, the name tells which of two times it is.
    moments = (naive.replace(fold=fold).astimezone() for fold in (0, 1))
    return next((moment for moment in moments if moment.tzname() == zone), None)
