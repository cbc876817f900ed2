"""What a worker is doing, in memory that it shares with the master.

The worker writes at every step of a job, the master reads when it wants to know:
when the worker has died, when a deadline is due. A message for each step would
wake the master for nothing, thousands of times a second.
"""

from __future__ import annotations

import mmap
import os
import struct
from enum import IntEnum
from typing import NamedTuple

# Written twice around the record: equal numbers tell a whole record.
_RECORD = struct.Struct("=QIIdqQ")
_SIZE = 4096
_READ_TRIES = 100


class Phase(IntEnum):
    """The step that a worker is at."""

    STARTING = 0
    WAITING = 1
    RESERVING = 2
    RUNNING = 3
    SETTLING = 4
    STOPPING = 5


class Status(NamedTuple):
    """One reading: the phase, the child if any, and since when.

    `since` is monotonic seconds; `began` is in ticks since boot, as start times
    of processes are.
    """

    phase: Phase = Phase.STARTING
    child: int = 0
    since: float = 0.0
    began: int = 0


class Board:
    """One page of shared memory, written by one worker."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)
        self._turn = 0

    @classmethod
    def create(cls) -> Board:
        """Make a page; its descriptor goes to the worker."""
        fd = os.memfd_create("resqued-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def write(self, status: Status) -> None:
        """Tell what the worker does now."""
        self._turn += 1
        _RECORD.pack_into(
            self._page,
            0,
            self._turn,
            status.phase,
            status.child,
            status.since,
            status.began,
            self._turn,
        )

    def read(self) -> Status:
        """Return the last status; one that is just being written is read again."""
        for _ in range(_READ_TRIES):
            first, *values, last = _RECORD.unpack_from(self._page, 0)
            if first == last:
                break
        # A worker that was killed while it wrote leaves half a record for good.
        phase, *rest = values
        return Status(Phase(phase), *rest)

    def close(self) -> None:
        """Give the page up, in this process only."""
        self._page.close()
        os.close(self.fd)
