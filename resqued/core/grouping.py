"""Which failures have the same cause: the key of a group, from the texts of a failure.

Two failures are of one group if class, exception, innermost frame of the application
and message are the same, the message without what differs from job to job.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

# Patterns are compiled when they are first used: commands load this module too.
# The most characters of a message that count, and the most frames that are read.
_LONGEST = 500
_FRAMES = 100
_LONGEST_LINE = 800
# The order counts: a path may hold numbers, and quotes may hold a path.
_VARYING = r"""
      "[^"\n]{0,200}" | (?<!\w)'[^'\n]{0,200}'(?!\w) | `[^`'\n]{0,200}['`]   # quoted
    | \b[a-z][a-z0-9+.-]{0,20}://[^\s,;)]{1,200}                             # URLs
    | (?<![\w/])(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]{1,100}){2,}/?                # paths
    | \b0[xX][0-9a-fA-F]+\b
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b               # UUIDs
    | \b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,64}\b                                # digests
    | [0-9]+(?:[.,:][0-9]+)*                                                 # numbers
"""
_BLANKS = r"\s+"
# No pattern tells one of these digits from another.
_ALIKE = str.maketrans("23456789", "11111111")
_REPEATED = r"#(?:[ ,;]{1,2}#)+"

_PYTHON = r'\s*File "([^"]{1,500})", line \d{1,9}(?:, in (.{1,200}))?'
_RUBY = r"\s*([^:\s][^:]{0,500}):\d{1,9}:in [`'](.{1,200})'"
_LIBRARY = (
    r"site-packages|dist-packages|/lib(?:64)?/python\d|^<frozen|/gems/|/lib/ruby/"
    r"|/resqued/|^<internal:|/node_modules/"
)
# What changes with each release of an application.
_RELEASE = r"/releases/[^/]+/|/\d{8,14}/"


class Group(Struct, frozen=True):
    """What the failures of a group have in common.

    `message` has # where the messages differ; `frame` is "" if none is known.
    """

    class_name: str
    exception: str
    message: str
    frame: str = ""

    @property
    def key(self) -> str:
        """A short name of the group, the same in every process: 12 hex digits."""
        parts = (self.class_name, self.exception, self.message, self.frame)
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:12]


def group_of(
    class_name: str, exception: str, message: str, backtrace: Sequence[str]
) -> Group:
    """Return the group of a failure."""
    return Group(class_name, exception, normalized(message), innermost(backtrace))


def normalized(message: str) -> str:
    """Return a message with # for numbers, hex digits, quoted text, paths and URLs."""
    return _normalized(message[:_LONGEST].translate(_ALIKE))


@lru_cache(4_096)
def _normalized(message: str) -> str:
    text = re.sub(_VARYING, "#", message, flags=re.VERBOSE)
    # A list of ten numbers is as a list of two.
    return re.sub(_REPEATED, "#", re.sub(_BLANKS, " ", text).strip())


def innermost(backtrace: Sequence[str]) -> str:
    """Return file and function of the innermost frame of the application.

    Of a backtrace that has only frames of libraries, the innermost of all; "" if there
    is none. Python prints the innermost frame last, Ruby first.
    """
    of_library = ""
    for line in reversed(backtrace[-_FRAMES:]):
        frame = _frame(line[:_LONGEST_LINE])
        if frame and frame.is_python and not frame.is_library:
            return frame.place
        if frame and frame.is_python:
            of_library = of_library or frame.place
    if of_library:
        return of_library
    for line in backtrace[:_FRAMES]:
        frame = _frame(line[:_LONGEST_LINE])
        if frame and not frame.is_library:
            return frame.place
        of_library = of_library or (frame.place if frame else "")
    return of_library


class _Frame(Struct, frozen=True):
    place: str
    is_library: bool
    is_python: bool


@lru_cache(4_096)
def _frame(line: str) -> _Frame | None:
    """Return the call that a line names, or None; most failures share their lines."""
    found = re.match(_PYTHON, line) or re.match(_RUBY, line)
    if found is None:
        return None
    place = re.sub(_RELEASE, "/#/", found[1])
    if found[2]:
        place = f"{place} in {found[2].strip()}"
    is_library = re.search(_LIBRARY, found[1]) is not None
    return _Frame(place, is_library, is_python=line.lstrip().startswith("File "))
