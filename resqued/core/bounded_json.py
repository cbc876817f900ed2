"""Values of Redis in the form in which an answer of the API may carry them.

An answer has a limit, is valid JSON for every reader, and is valid UTF-8: what other
programs have written may be of any size and depth, and may hold neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# The most characters of one text, elements of one list or object, and levels.
LONGEST, MOST, DEEPEST = 20_000, 1_000, 40
# The shortest that a text is cut to, so that names stay whole.
_SHORTEST = 500
CUT = "…"


class Bounds:
    """Cuts the values of one answer, which have `room` characters in all.

    `has_cut` is True once something was left out.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.has_cut = False

    def bounded(self, value: Any, depth: int = 0) -> Any:
        """Return a value of JSON types, cut where it is too long or too deep.

        Bytes that are not UTF-8 and lone surrogates become escapes; what is no number
        of JSON becomes null.
        """
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, (Mapping, list, tuple)):
            if depth >= DEEPEST and value:
                return self._cut()
            return self._several(value, depth + 1)
        if value is None or isinstance(value, (bool, int, float)):
            self._room -= 8
            return value
        return self._text(str(value))

    def _cut(self) -> str:
        self.has_cut = True
        return CUT

    def _text(self, text: str) -> str:
        most = min(LONGEST, max(_SHORTEST, self._room))
        if len(text) > most:
            text = text[:most] + self._cut()
        # What is not ASCII is written as an escape of six characters or more.
        self._room -= len(text) + (0 if text.isascii() else 5 * len(text))
        if text.isascii():
            return text
        return text.encode("utf-8", "backslashreplace").decode()

    def _several(self, value: Any, depth: int) -> Any:
        is_object = isinstance(value, Mapping)
        found: Any = {} if is_object else []
        for number, each in enumerate(value):
            if number >= MOST or self._room <= 0:
                cut = self._cut()
                return {**found, cut: cut} if is_object else [*found, cut]
            if is_object:
                found[self._text(str(each))] = self.bounded(value[each], depth)
            else:
                found.append(self.bounded(each, depth))
        return found
