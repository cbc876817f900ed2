"""Lines that jobs print, as events of the log with the fields of their job.

Replaces sys.stdout and sys.stderr in the zygote and in all processes that it forks.
What programs that a job starts print goes directly to the descriptor, without fields.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from resqued.log import logger
from resqued.log.journal_fields import read_line

# A line that is longer, in characters, is logged in parts: a pipe takes 64 KB.
_LONGEST = 1 << 15


class _Lines(io.RawIOBase):
    """The raw end of a stream; each line that is written becomes an event."""

    def __init__(self, fd: int, stream: str) -> None:
        self._fd = fd
        self._stream = stream
        self._rest = b""
        # Whether the beginning of the present line was logged already.
        self._is_cut = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the descriptor, for a job's programs and for faulthandler."""
        return self._fd

    def write(self, data: Any) -> int:
        text = bytes(data)
        if logger.is_redirected(self._fd):
            # By the job, which wants the text there and not an event.
            return os.write(self._fd, text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            if line or not self._is_cut:
                self._log(line)
            self._is_cut = False
        if len(self._rest) > _LONGEST:
            self.finish()
            self._is_cut = True
        return len(text)

    def finish(self) -> None:
        """Log a last line that does not end in a newline."""
        self._is_cut = False
        if self._rest:
            line, self._rest = self._rest, b""
            self._log(line)

    def _log(self, line: bytes) -> None:
        level, message = read_line(line.decode("utf-8", "backslashreplace"))
        fields = context_fields()
        _context.has_printed = True
        for begin in range(0, len(message) or 1, _LONGEST):
            part = message[begin : begin + _LONGEST]
            logger.log_unconditionally(
                level, "output", stream=self._stream, message=part, **fields
            )


class _OutputContext:
    """The job whose output is printed.

    `describe` makes the fields of a line from `facts`, at the first line: most jobs
    print nothing. hot path: lazy-fields
    """

    def __init__(self) -> None:
        self.describe: Callable[..., dict[str, object]] = dict
        self.facts: tuple[object, ...] = ()
        # Whether this process has logged a line; most jobs print nothing.
        self.has_printed = False


_streams: list[_Lines] = []
_context = _OutputContext()


def install() -> None:
    """Replace sys.stdout and sys.stderr, unless the log goes to a terminal."""
    if not logger.is_for_programs():
        return
    logger.note_streams()
    for fd, name in ((1, "stdout"), (2, "stderr")):
        lines = _Lines(fd, name)
        _streams.append(lines)
        buffer = io.BufferedWriter(lines)
        stream = io.TextIOWrapper(
            buffer, "utf-8", "backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)


def set_context(describe: Callable[..., dict[str, object]], *facts: object) -> None:
    """Set the job that lines are attributed to from now on.

    `describe` is called with the facts for each line, and returns its fields.
    """
    _context.describe = describe
    _context.facts = facts


def facts() -> tuple[object, ...]:
    """Return the facts of the last `set_context`."""
    return _context.facts


def context_fields() -> dict[str, object]:
    """Return the fields of the job, for a line of the log about it."""
    return _context.describe(*_context.facts)


def finish() -> None:
    """Log what was printed without a newline at the end."""
    for lines in _streams:
        lines.finish()
    if _context.has_printed:
        logger.tell_dropped()
