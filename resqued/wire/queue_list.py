"""Queue lists: the parser of their text, and the choice of the queues to serve.

Used by the master and by workers, which pass the names of the queues in Redis. The
pattern language is that of Ruby's `File.fnmatch` without flags, because a queue list
must select the same queues in each implementation; Python's `fnmatch` module has a
different language. Must not ask Redis.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from resqued.errors import QueueListError

if TYPE_CHECKING:
    from collections.abc import Iterable

# What Ruby's `String#strip` removes. `str.strip()` would also remove no-break spaces
# and separators, which Ruby keeps as part of the name.
_BLANKS = "\0\t\n\v\f\r "

# One of these anywhere makes a list dynamic, as in Ruby, although to fnmatch braces
# are not special and a backslash is.
_DYNAMIC = frozenset("*?{}[]")

_ONE = "."
_NOTHING = "(?!)"


class QueueList(Struct, frozen=True):
    """The queues or patterns of a slot, in order of priority, and its exclusions."""

    entries: tuple[str, ...]
    exclusions: tuple[str, ...] = ()

    @property
    def is_dynamic(self) -> bool:
        """True if the queues to serve depend on the names known in Redis."""
        return bool(self.exclusions) or any(
            not _DYNAMIC.isdisjoint(entry) for entry in self.entries
        )

    @property
    def name(self) -> str:
        """The text of the list in worker ids."""
        return ",".join(self.entries)

    def match(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return the queues to try, in order, out of the *known* names.

        A static list is returned as it is. In a dynamic list a plain name is a
        pattern too, so its queue is served only while the name is known.
        """
        if not self.is_dynamic:
            return tuple(dict.fromkeys(self.entries))
        allowed = sorted(filter(self._allows, known), key=_utf8)
        return tuple(
            dict.fromkeys(
                name
                for entry in self.entries
                for name in filter(_matcher(entry).fullmatch, allowed)
            )
        )

    def serves(self, name: str) -> bool:
        """Return True if a worker with this list takes jobs from the queue *name*."""
        if not self.is_dynamic:
            return name in self.entries
        return self._allows(name) and any(
            _matcher(entry).fullmatch(name) for entry in self.entries
        )

    def _allows(self, name: str) -> bool:
        return not any(_matcher(entry).fullmatch(name) for entry in self.exclusions)


def parse(text: str) -> QueueList:
    """Return the queue list of a text such as `critical,high` or `*,!low`.

    Raises QueueListError if the text names no queue.
    """
    parts = text.split(",")
    # Ruby's `String#split` drops empty fields at the end, before they are stripped:
    # "a," is one queue, while "a, " is two, and the second has the name "".
    while parts and not parts[-1]:
        parts.pop()
    entries: list[str] = []
    exclusions: list[str] = []
    for part in parts:
        entry = part.strip(_BLANKS)
        if entry.startswith("!"):
            exclusions.append(entry[1:])
        else:
            entries.append(entry)
    if not entries:
        raise QueueListError(
            f"queue list {text!r} names no queue: "
            "give names or patterns, such as 'critical,high' or '*,!low'"
        )
    return QueueList(tuple(entries), tuple(exclusions))


# An application has few queues. The bound is for one that makes names as it goes.
@lru_cache(maxsize=1024)
def is_plain(name: str) -> bool:
    """Return True if the queue list `name` means the queue of that name, and no other.

    False for what a queue list reads as several names, a pattern or an exclusion, and
    for blanks at the ends, which it drops.
    """
    try:
        found = parse(name)
    except QueueListError:
        return False
    return found == QueueList((name,)) and not found.is_dynamic


def _utf8(name: str) -> bytes:
    # The store turns bytes that are not UTF-8 into lone surrogates, which sort
    # differently as characters.
    return name.encode("utf-8", "surrogateescape")


# An operator has few patterns. The bound is for `serves`, which a process that lives
# for months may call with lists of any origin.
@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(_translate(pattern), re.DOTALL)


def _translate(pattern: str) -> str:
    """Return the regular expression for a whole name, from an fnmatch pattern."""
    # Each run is the expression for what lies between two stars.
    runs = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            runs.append("")
        elif char == "?":
            runs[-1] += _ONE
        elif char == "[":
            one_of, at = _bracket(pattern, at)
            runs[-1] += one_of
        else:
            if char == "\\":
                # A backslash at the end escapes nothing and is ignored.
                char, at = pattern[at : at + 1], at + 1
            runs[-1] += re.escape(char)
    # A dot at the start of a name is matched only by a dot, not by `*`, `?` or `[.]`.
    start = "" if pattern.startswith((".", "\\.")) else r"(?!\.)"
    return start + _join(runs)


def _join(runs: list[str]) -> str:
    first, *others = runs
    if not others:
        return first
    *inner, last = others
    # The leftmost match of a run is as good as any other: the atomic group keeps the
    # engine from trying the others, whose number multiplies with each star.
    return first + "".join(f"(?>.*?{run})" for run in inner if run) + ".*" + last


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """Return the expression for the bracket that opens before *at*, and its end."""
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    members = ""
    while pattern[at : at + 1] != "]":
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] != "]":
            high, at = _member(pattern, at + 1)
        if not (low and high):
            # A bracket that is not closed matches nothing.
            return _NOTHING, len(pattern)
        # A range in reverse order matches its two ends only.
        between = "-" if low <= high else ""
        members += re.escape(low) + between + re.escape(high)
    if members:
        return f"[{'^' if negated else ''}{members}]", at + 1
    return (_ONE if negated else _NOTHING), at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    at += pattern[at : at + 1] == "\\"
    return pattern[at : at + 1], at + 1
