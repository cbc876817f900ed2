"""What a queue list means: parse its text, and pick the queues that it serves.

Used in the master and in workers, who supply the names known in Redis. The
pattern language is that of Ruby's `File.fnmatch` without flags, since a queue
list has to pick the same queues whichever implementation reads it; Python's
`fnmatch` module speaks another language. Must not ask Redis for anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from resqued.errors import QueueListError

if TYPE_CHECKING:
    from collections.abc import Iterable

# What `String#strip` removes. `str.strip()` would go further and take
# no-break spaces and separators that Ruby counts as part of the name.
_BLANKS = "\0\t\n\v\f\r "

# One of these anywhere makes a list dynamic. Braces are no pattern to
# fnmatch, and a backslash is, yet this is the set Ruby looks for.
_DYNAMIC = frozenset("*?{}[]")

_ONE = "."
_NOTHING = "(?!)"


@dataclass(frozen=True, slots=True)
class QueueList:
    """The queues of a slot, in order of priority, and those it never serves."""

    entries: tuple[str, ...]
    exclusions: tuple[str, ...] = ()

    @property
    def is_dynamic(self) -> bool:
        """Say whether the queues depend on the names known in Redis."""
        return bool(self.exclusions) or any(
            not _DYNAMIC.isdisjoint(entry) for entry in self.entries
        )

    @property
    def name(self) -> str:
        """Give the text that stands in worker ids."""
        return ",".join(self.entries)

    def match(self, known: Iterable[str]) -> tuple[str, ...]:
        """Pick the queues to try, first one first, from the *known* names.

        A static list is served as it is. In a dynamic one even a plain name
        is a pattern, and is served only while it is known.
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
        """Say whether a worker with this list takes jobs from the queue *name*."""
        if not self.is_dynamic:
            return name in self.entries
        return self._allows(name) and any(
            _matcher(entry).fullmatch(name) for entry in self.entries
        )

    def _allows(self, name: str) -> bool:
        return not any(_matcher(entry).fullmatch(name) for entry in self.exclusions)


def parse(text: str) -> QueueList:
    """Read a queue list, or raise QueueListError if it names no queue."""
    parts = text.split(",")
    # `String#split` forgets empty fields at the end, before anything is
    # trimmed: "a," is one queue, while "a, " is two, the second named "".
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


def _utf8(name: str) -> bytes:
    # Bytes that were no UTF-8 come from the store as lone surrogates, which
    # would sort elsewhere as characters.
    return name.encode("utf-8", "surrogateescape")


# The patterns are the operator's, so few; the bound is for `serves` being
# asked about lists of any origin in a process that lives for months.
@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(_translate(pattern), re.DOTALL)


def _translate(pattern: str) -> str:
    """Turn an fnmatch pattern into a regular expression for the whole name."""
    # Each run is the characters wanted between two stars.
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
                # A backslash with nothing to escape counts for nothing.
                char, at = pattern[at : at + 1], at + 1
            runs[-1] += re.escape(char)
    # A dot at the start is matched by a dot alone, not by `*`, `?` or `[.]`.
    start = "" if pattern.startswith((".", "\\.")) else r"(?!\.)"
    return start + _join(runs)


def _join(runs: list[str]) -> str:
    first, *others = runs
    if not others:
        return first
    *inner, last = others
    # The leftmost place for a run is as good as any: the atomic group keeps
    # the engine from trying the others, whose number grows with each star.
    return first + "".join(f"(?>.*?{run})" for run in inner if run) + ".*" + last


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """Translate the bracket whose inside begins *at*; say also where it ends."""
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    members = ""
    while pattern[at : at + 1] != "]":
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] != "]":
            high, at = _member(pattern, at + 1)
        if not (low and high):
            # The bracket is never closed, and so matches nothing.
            return _NOTHING, len(pattern)
        # A range that runs backwards still holds both of its ends.
        between = "-" if low <= high else ""
        members += re.escape(low) + between + re.escape(high)
    if members:
        return f"[{'^' if negated else ''}{members}]", at + 1
    return (_ONE if negated else _NOTHING), at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    at += pattern[at : at + 1] == "\\"
    return pattern[at : at + 1], at + 1
