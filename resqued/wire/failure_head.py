"""The few fields of a failure that groups and filters need, read fast.

An entry of 2 KB takes 4 microseconds, a third of what all of its values take.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from resqued.wire import timestamps

_NO_LINES = msgspec.Raw(b"[]")
# The clock of 2026/11/27 22:58:27: where the seconds are.
_MINUTE, _SECOND = 17, 19
# The last time that 32 bits can hold.
_LAST = 2**32 - 1


class _Job(msgspec.Struct, rename={"class_name": "class"}):
    class_name: str


class FailureHead(msgspec.Struct):
    """What was read of a failure; a field that it lacks is empty."""

    payload: _Job
    exception: str = ""
    error: str = ""
    worker: str = ""
    queue: str = ""
    failed_at: str = ""
    retried_at: str = ""
    backtrace: msgspec.Raw = _NO_LINES


_DECODER = msgspec.json.Decoder(FailureHead)


def read(entry: bytes) -> FailureHead | None:
    """Return the head of an entry; None if it is odd, and has to be read as a whole.

    Odd is what is no JSON, names no class, or has a field of another type.
    """
    try:
        # The decoder does not look into texts that it skips.
        if not entry.isascii():
            entry.decode("utf-8")
        return _DECODER.decode(entry)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def lines(backtrace: bytes) -> list[str]:
    """Return the lines of the JSON text of a backtrace; none if it is no list."""
    try:
        found = msgspec.json.decode(backtrace)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []
    return [*map(str, found)] if isinstance(found, list) else []


def seconds(text: str) -> int:
    """Return a time in seconds since the epoch, 0 if it is none or before the epoch.

    A later time than 32 bits can hold is the last that they can. Times of the same
    minute are read once.
    """
    clock = text[_MINUTE:_SECOND]
    if clock.isascii() and clock.isdecimal() and "00" <= clock <= "59":
        whole = f"{text[:_MINUTE]}00{text[_SECOND:]}"
        if text[_MINUTE - 1] == ":" and text[4] in "-/" and (found := _read(whole)):
            return min(found + int(clock), _LAST)
    return _read(text)


@lru_cache(4_096)
def _read(text: str) -> int:
    found = timestamps.read(text)
    return min(max(int(found.timestamp()), 0), _LAST) if found else 0
