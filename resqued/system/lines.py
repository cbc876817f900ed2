"""Lines that come through a descriptor: each is returned whole, without its end.

For any process: at a pipe or a socket, blocking or not.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

# Longer than any line that one process of this package has for another.
LONGEST = 64 << 20
_CHUNK = 64 << 10


class LineTooLongError(ValueError):
    """More has come than a line may have, without the end of a line."""


class LineReader:
    """The reading end of a descriptor, which the caller keeps open and closes."""

    def __init__(self, fd: int, *, longest: int = LONGEST) -> None:
        """Read from `fd` lines of no more than `longest` bytes."""
        self._fd = fd
        self._longest = longest
        self._buffer = bytearray()
        # No line ends before this place of the buffer.
        self._searched = 0
        self.has_ended = False

    def take(self) -> bytes | None:
        """Return the next of the lines that have been received, or None.

        Raises LineTooLongError.
        """
        end = self._buffer.find(b"\n", self._searched)
        length = len(self._buffer) if end < 0 else end
        if length > self._longest:
            raise LineTooLongError(f"a line is longer than {self._longest} bytes")
        if end < 0:
            self._searched = length
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def receive(self) -> None:
        """Read once; at the end of the file `has_ended` becomes true.

        Raises OSError, such as BlockingIOError where nothing has come.
        """
        data = os.read(self._fd, _CHUNK)
        self._buffer += data
        self.has_ended = not data

    def read(self, give_up_at: float) -> bytes | None:
        """Return the next line, and None at the end of the file.

        What stands after the last end of a line is no line. Raises TimeoutError if
        no line is whole at `give_up_at`, in seconds of time.monotonic(), and
        LineTooLongError and OSError.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        is_last = False
        while (line := self.take()) is None and not self.has_ended:
            patience = max(0.0, give_up_at - time.monotonic())
            # A part of a millisecond more: poll(2) knows whole ones. What comes all the
            # time, and never ends a line, does not extend the time either.
            if is_last or not poll.poll(patience * 1000 + 0.5):
                raise TimeoutError
            is_last = not patience
            with suppress(BlockingIOError):
                self.receive()
        return line
