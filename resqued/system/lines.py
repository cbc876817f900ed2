"""Reading of lines from a descriptor; each is returned without its line end.

For any process, and for pipes and sockets, blocking or not.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

# Longer than any line that processes of this package send, in bytes.
LONGEST = 64 << 20
_CHUNK = 64 << 10


class LineTooLongError(ValueError):
    """More bytes have arrived than a line may have, without a line end."""


class LineReader:
    """The reading end of a descriptor, which the caller keeps open and closes."""

    def __init__(self, fd: int, *, longest: int = LONGEST) -> None:
        """Read from `fd` lines of no more than `longest` bytes."""
        self._fd = fd
        self._longest = longest
        self._buffer = bytearray()
        # The buffer has no line end before this index.
        self._searched = 0
        self.has_ended = False

    def take(self) -> bytes | None:
        """Return the next line that has been received completely, or None.

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
        """Read once; at end of file `has_ended` becomes True.

        Raises OSError, such as BlockingIOError if no bytes have arrived.
        """
        data = os.read(self._fd, _CHUNK)
        self._buffer += data
        self.has_ended = not data

    def read(self, give_up_at: float) -> bytes | None:
        """Return the next line; None at end of file.

        Bytes after the last line end are no line. Raises TimeoutError if no line is
        complete at `give_up_at`, in seconds of time.monotonic(); LineTooLongError;
        OSError.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        is_last = False
        while (line := self.take()) is None and not self.has_ended:
            patience = max(0.0, give_up_at - time.monotonic())
            # Half a millisecond is added because poll(2) takes whole milliseconds.
            # Bytes that keep arriving without a line end do not extend the time.
            if is_last or not poll.poll(patience * 1000 + 0.5):
                raise TimeoutError
            is_last = not patience
            with suppress(BlockingIOError):
                self.receive()
        return line
