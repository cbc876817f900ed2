"""Durations and sizes as people write them: 90, 90s, 15m, 2h; 512M, 2G."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TypeAlias

Duration: TypeAlias = float | str | timedelta
"""A length of time: seconds as a number, a text with a unit, or a timedelta.

The units are ms, s, m, h and d: `90`, `"90s"`, `"15m"`, `"1.5h"`,
`timedelta(minutes=15)`. A text without a unit is seconds.
"""

Size: TypeAlias = float | str
"""An amount of memory: bytes as a number, or a text with a unit.

The units are K, M, G and T, powers of 1,024: `536870912`, `"512M"`, `"1.5G"`. A part
of a byte counts as a whole one.
"""

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_NO_MOMENT = "not a time such as 1h (ago), 2026-11-27 or '2026-11-27 22:58'"
_NO_DURATION = "not a duration such as 90, 4s, 15m or 2h"


def seconds(value: object) -> float:
    """Return a duration in seconds, from a number of seconds or a text such as 15m.

    Units are ms, s, m, h and d. Raises ValueError if the value is not a duration,
    is negative or is not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, int | float):
        return _number(value, _NO_DURATION)
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(_NO_DURATION)
    return _number(float(match[1]) * _UNITS[match[2]], _NO_DURATION)


def moment(text: str, now: float) -> float:
    """Return a time in seconds since the epoch, from how long ago it was, or itself.

    `text` is a duration before `now`, such as 1h, or a local time such as 2026-11-27,
    2026-11-27 22:58 or 2026-11-27T22:58:27Z. Raises ValueError if it is neither.
    """
    try:
        return now - seconds(text.strip().removeprefix("-"))
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(_NO_MOMENT) from None


_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:b?|([kmgt])(?:i?b)?)")
_NO_SIZE = "not a size such as 512M or 2G"


def size(value: object) -> int:
    """Return a size in bytes, from a number of bytes or a text such as 512M.

    K, M, G and T are powers of 1,024, as in systemd. Fractions of a byte are rounded
    up. Raises ValueError if the value is not a size, is negative or is not finite.
    """
    if isinstance(value, int | float):
        number = _number(value, _NO_SIZE)
    else:
        match = _SIZE.fullmatch(str(value).strip().lower())
        if match is None:
            raise ValueError(_NO_SIZE)
        number = _number(float(match[1]) * _SIZES[match[2] or ""], _NO_SIZE)
    # 0 means no limit, so a size of less than a byte must not be rounded to 0.
    return math.ceil(number)


def _number(value: float, error: str) -> float:
    """Return a finite number of at least 0; raise ValueError for any other value."""
    if isinstance(value, bool):
        raise ValueError(error)
    if value < 0:
        raise ValueError("negative")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(error)
    return number


def show_size(count: int) -> str:
    """Return a number of bytes as text, in the largest unit that fits: 213.4 MB."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        # Compare the number as it is shown: 1024.0 kB is shown as 1 MB.
        if round(value, 1) < 1024 or unit == "GB":
            break
        value /= 1024
    if unit == "bytes":
        return f"{count} bytes"
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def show_seconds(seconds: float) -> str:
    """Return a number of seconds as text: 0.25s, 4s, 12.4s, 3m12s, 2h05m, 4d03h."""
    if seconds < 60:
        text = f"{seconds:.{2 if seconds < 10 else 1}f}"
        return f"{text.rstrip('0').rstrip('.')}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"
