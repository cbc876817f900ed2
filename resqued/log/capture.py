"""What jobs print, as events of the log that say whose words they are.

Stands in for sys.stdout and sys.stderr, of the zygote and of all that it forks:
lines from Python carry the fields of their job. What a job's own programs write goes
past it, straight to the descriptor.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from resqued.log import logger
from resqued.log.journal_fields import read_line

# Whoever prints so much without an end of line is cut.
_LONGEST = 1 << 16


class _Lines(io.RawIOBase):
    """The end of a stream: each line becomes an event."""

    def __init__(self, fd: int, stream: str) -> None:
        self._fd = fd
        self._stream = stream
        self._rest = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """For programs that a job starts, and for faulthandler."""
        return self._fd

    def write(self, data: Any) -> int:
        text = bytes(data)
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self._rest) > _LONGEST:
            self.finish()
        return len(text)

    def finish(self) -> None:
        """Tell of a last line that has no end."""
        if self._rest:
            line, self._rest = self._rest, b""
            self._tell(line)

    def _tell(self, line: bytes) -> None:
        level, message = read_line(line.decode("utf-8", "backslashreplace"))
        about = _owner.describe(*_owner.facts)
        logger.log_unconditionally(
            level, "output", stream=self._stream, message=message, **about
        )


class _OutputContext:
    """The job whose output is printed.

    `describe` makes the fields of a line from `facts`, at the first line: most jobs
    print nothing. hot path: lazy-fields
    """

    def __init__(self) -> None:
        self.describe: Callable[..., dict[str, object]] = dict
        self.facts: tuple[object, ...] = ()


_streams: list[_Lines] = []
_owner = _OutputContext()


def install() -> None:
    """Stand in for the standard streams, unless a person reads them."""
    if not logger.is_for_programs():
        return
    for fd, name in ((1, "stdout"), (2, "stderr")):
        lines = _Lines(fd, name)
        _streams.append(lines)
        buffer = io.BufferedWriter(lines)
        stream = io.TextIOWrapper(
            buffer, "utf-8", "backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)


def is_installed() -> bool:
    """Say whether printed lines carry fields."""
    return bool(_streams)


def set_context(describe: Callable[..., dict[str, object]], *facts: object) -> None:
    """Say whose words are printed from now on; describe makes fields of the facts."""
    _owner.describe = describe
    _owner.facts = facts


def finish() -> None:
    """Tell of what was printed without an end of line."""
    for lines in _streams:
        lines.finish()
