"""Durations and sizes as people write them: 90, 90s, 15m, 2h."""

from __future__ import annotations

import re

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(value: object) -> float:
    """Return the seconds that a number or a text means; raise ValueError if none."""
    if isinstance(value, bool):
        raise ValueError("not a duration")
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError("negative")
        return float(value)
    found = _DURATION.fullmatch(str(value).strip().lower())
    if found is None or found[2] not in _UNITS:
        raise ValueError("not a duration such as 90, 4s, 15m or 2h")
    return float(found[1]) * _UNITS[found[2]]
