"""Which failures have the same cause: the key of a group, from the texts of a failure.

Two failures are of one group if class, exception, innermost frame of the application
and message are the same, the message without what differs from job to job.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Patterns are compiled when they are first used, since every worker loads this module.
# The most characters of a message that count, and the most frames that are read.
_LONGEST = 500
_FRAMES = 100
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
_REPEATED = r"#(?:[ ,;]{1,2}#)+"

_PYTHON = r'\s*File "([^"]{1,500})", line \d{1,9}(?:, in (.{1,200}))?'
_RUBY = r"\s*([^:\s][^:]{0,500}):\d{1,9}:in [`'](.{1,200})'"
_LIBRARY = (
    r"site-packages|dist-packages|/lib(?:64)?/python\d|^<frozen|/gems/|/lib/ruby/"
    r"|/resqued/|^<internal:|/node_modules/"
)
# What changes with each release of an application.
_RELEASE = r"/releases/[^/]+/|/\d{8,14}/"


@dataclass(frozen=True, slots=True)
class Group:
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
    text = re.sub(_VARYING, "#", message[:_LONGEST], flags=re.VERBOSE)
    # A list of ten numbers is as a list of two.
    return re.sub(_REPEATED, "#", re.sub(_BLANKS, " ", text).strip())


def innermost(backtrace: Sequence[str]) -> str:
    """Return file and function of the innermost frame of the application.

    Of a backtrace that has only frames of libraries, the innermost of all; "" if there
    is none. Python prints the innermost frame last, Ruby first.
    """
    python = [
        found for line in backtrace[-_FRAMES:] if (found := re.match(_PYTHON, line))
    ]
    ruby = [found for line in backtrace[:_FRAMES] if (found := re.match(_RUBY, line))]
    frames = python[::-1] or ruby
    own = [frame for frame in frames if not re.search(_LIBRARY, frame[1])]
    for frame in own or frames:
        place = re.sub(_RELEASE, "/#/", frame[1])
        return f"{place} in {frame[2].strip()}" if frame[2] else place
    return ""
