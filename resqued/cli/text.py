"""Words for people: names that cannot harm a terminal, durations.

Names, arguments and messages come from Redis, where anybody may have put them:
nothing in them is ever interpreted, by the terminal or by rich.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

# Controls of both kinds, what turns the direction of text around, what ends a
# line for some, and the surrogates that stand for bytes that were no UTF-8.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def clean(value: object) -> str:
    r"""Return value as text that only prints: a control character as \xNN."""
    return _HARMFUL.sub(_escape, str(value))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(value: object) -> str:
    """Return a message as one line that only prints."""
    return clean(" ".join(str(value).split()))


def clip(value: object, limit: int) -> str:
    """Return no more of a text than fits, as one line."""
    # Cut first: a message may be long, and cleaning makes it longer.
    line = " ".join(str(value)[: 4 * limit].split())
    return clean(line if len(line) <= limit else f"{line[: limit - 1]}…")


def json_line(value: object) -> str:
    """Return a value as JSON on one line, readable."""
    return json.dumps(value, ensure_ascii=False)


def duration(seconds: float | None) -> str:
    """Return how long something took or is ago, in its largest unit."""
    if seconds is None:
        return "-"
    for size, name in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def call(class_name: str, args: Iterable[Any]) -> str:
    """Return a job as it would be called, cut to what a table has room for."""
    text = f"{class_name}({', '.join(map(json_line, args))})"
    return clip(text, max(100, len(class_name) + 2))
