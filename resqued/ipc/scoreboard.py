"""The scoreboard: the state of a worker, in memory shared with master and child.

The worker writes at every step of a job. The master reads only when it needs the state:
when the worker has died, or a deadline is due. A message for each step would wake the
master thousands of times a second without need. The child reads why it is being ended,
and writes the limits of its job. The same file has room for stacks after the page.

Jobs run in the child, so a job can write anything here. The size of the file is sealed,
and readers check all values: those that no worker can have written are reported as
SPOILT, or as not known.
"""

from __future__ import annotations

import faulthandler
import fcntl
import mmap
import os
import struct
from contextlib import suppress
from enum import IntEnum
from math import isfinite
from typing import Any, NamedTuple

from resqued.core.limits import Cause, Limits
from resqued.system.signals import STACK_SIGNAL

# Each pair of records begins with a number, which selects the last one written.
_NUMBER = struct.Struct("=Q")
_NUMBER_SIZE = _NUMBER.size
_TURNS = 1 << 64
_STATUS = struct.Struct("=IIdq")
_LIMITS = struct.Struct("=qdqd")
_TALLY = struct.Struct("=QQ")
# Followed by the text, whose length in bytes is the last field.
_CAUSE = struct.Struct("=qI")
_IDLE = struct.Struct("=d")
_STATUS_AT, _LIMITS_AT, _TALLY_AT, _IDLE_AT, _CAUSE_AT = 0, 256, 512, 640, 768
_SIZE = 4096
_READ_TRIES = 100
# The largest memory limit that the record can hold, in bytes.
_MOST = (1 << 63) - 1
# The room for stacks, in bytes; longer texts are not read.
_STACK_ROOM = 64 << 10
# The most bytes of the reason why a child is ended.
_MAX_REASON = 2000
# A process that maps a shortened file dies of SIGBUS; a growing file uses memory.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
# The largest possible pid (proc(5), pid_max), and more runs than a worker can have.
_MAX_PID = 1 << 22
_MAX_RUNS = 1 << 53


class Phase(IntEnum):
    """The present step of a worker."""

    STARTING = 0
    WAITING = 1
    RESERVING = 2
    RUNNING = 3
    SETTLING = 4
    STOPPING = 5


class StepRecord(NamedTuple):
    """One reading: the phase, the child (0 without one), and the time of its begin.

    `since` is monotonic seconds; `began` is in ticks since boot, as start times
    of processes are.
    """

    phase: Phase = Phase.STARTING
    child: int = 0
    since: float = 0.0
    began: int = 0


# The reading if the values are invalid. Only a job can have written those, so a job
# runs; its child is not known.
SPOILT = StepRecord(Phase.RUNNING)
_PHASES, _CAUSES = frozenset(Phase), frozenset(Cause)


class RunCounts(NamedTuple):
    """How many runs a worker has settled, and how many of them had failed."""

    done: int = 0
    failed: int = 0


class Scoreboard:
    """One page of shared memory, written by one worker, and room for its stacks."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)

    @classmethod
    def create(cls) -> Scoreboard:
        """Create a scoreboard; its descriptor is for the worker. Raises OSError."""
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        fd = os.memfd_create("resqued-board", flags)
        try:
            os.ftruncate(fd, _SIZE + _STACK_ROOM)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            scoreboard = cls(fd)
        except OSError:
            os.close(fd)
            raise
        scoreboard.clear_stack()
        return scoreboard

    def write(
        self, phase: Phase, child: int = 0, since: float = 0.0, began: int = 0
    ) -> None:
        """Write the present step of the worker; the arguments are as in StepRecord."""
        self._pack(_STATUS, _STATUS_AT, phase, child, since, began)

    def read(self) -> StepRecord:
        """Return the last step that was written.

        SPOILT if the values are such as no worker writes.
        """
        phase, child, since, began = self._unpack(_STATUS, _STATUS_AT)
        is_sane = phase in _PHASES and child != 1 and child <= _MAX_PID and began >= 0
        if not (is_sane and isfinite(since) and since >= 0):
            return SPOILT
        return StepRecord(Phase(phase), child, since, began)

    def set_idle_since(self, since: float) -> None:
        """Write since when the worker has had no job, in monotonic seconds."""
        _IDLE.pack_into(self._page, _IDLE_AT, since)

    def idle_since(self) -> float:
        """Return since when an idle worker has had no job; 0.0: not known."""
        since = float(_IDLE.unpack_from(self._page, _IDLE_AT)[0])
        return since if isfinite(since) and since >= 0 else 0.0

    def count(self, done: int, failed: int) -> None:
        """Write how many runs have ended, and how many of them had failed."""
        self._pack(_TALLY, _TALLY_AT, done, failed)

    def run_counts(self) -> RunCounts:
        """Return the numbers of runs; zeros if the values are invalid."""
        done, failed = self._unpack(_TALLY, _TALLY_AT)
        return RunCounts(done, failed) if failed <= done < _MAX_RUNS else RunCounts()

    def limit(self, pid: int, limits: Limits, used: float = 0.0) -> None:
        """Write the limits of the child's job; called in the child. None becomes -1.

        `used` is the CPU time of the child's earlier jobs, in seconds.
        """
        runtime = -1 if limits.runtime is None else limits.runtime
        memory = -1 if limits.memory is None else min(limits.memory, _MOST)
        self._pack(_LIMITS, _LIMITS_AT, pid, runtime, memory, used)

    def limits_of(self, pid: int) -> Limits | None:
        """Return the limits of the job that a child runs; None: not known."""
        owner, runtime, memory, _ = self._unpack(_LIMITS, _LIMITS_AT)
        if owner != pid or not isfinite(runtime):
            return None
        return Limits(
            None if runtime < 0 else runtime, None if memory < 0 else int(memory)
        )

    def used_before(self, pid: int) -> float:
        """Return the CPU time of a child's earlier jobs, in seconds."""
        owner, _, _, used = self._unpack(_LIMITS, _LIMITS_AT)
        return float(used) if owner == pid and isfinite(used) else 0.0

    def set_cause(self, cause: Cause, reason: str = "") -> None:
        """Write why the child is about to be terminated, as a cause and a text."""
        text = reason.encode("utf-8", "replace")[:_MAX_REASON]
        begin = _CAUSE_AT + _CAUSE.size
        self._page[begin : begin + len(text)] = text
        _CAUSE.pack_into(self._page, _CAUSE_AT, cause, len(text))

    def cause(self) -> tuple[Cause, str]:
        """Return why the child is being terminated; called in the child."""
        cause, length = _CAUSE.unpack_from(self._page, _CAUSE_AT)
        if cause not in _CAUSES:
            return Cause.ORDER, ""
        begin = _CAUSE_AT + _CAUSE.size
        text = self._page[begin : begin + min(length, _MAX_REASON)]
        return Cause(cause), text.decode("utf-8", "ignore")

    def _pack(self, record: struct.Struct, place: int, *values: Any) -> None:
        """Write a record beside the valid one, then make the new one valid.

        A writer that is killed or waits in the middle leaves the old record intact.
        """
        first = place + _NUMBER_SIZE
        turn = _NUMBER.unpack(self._page[place:first])[0] + 1
        if turn == _TURNS:  # a job has written there
            turn = 0
        begin = first + turn % 2 * record.size
        # A slice is copied at once; pack_into would write zeroes first.
        self._page[begin : begin + record.size] = record.pack(*values)
        self._page[place:first] = _NUMBER.pack(turn)

    def _unpack(self, record: struct.Struct, place: int) -> tuple[Any, ...]:
        """Read the valid record; read again if it is replaced meanwhile."""
        first = place + _NUMBER_SIZE
        for _ in range(_READ_TRIES):
            number = self._page[place:first]
            begin = first + _NUMBER.unpack(number)[0] % 2 * record.size
            values = self._page[begin : begin + record.size]
            if self._page[place:first] == number:
                break
        return record.unpack(values)

    # Stacks

    def enable_stack_dump(self) -> None:
        """Make STACK_SIGNAL write the stacks of this process; called in the worker.

        Children that are forked from now on do the same. faulthandler writes within the
        signal handler, even while Python waits in a system call.
        """
        faulthandler.register(STACK_SIGNAL, file=self.fd, all_threads=True, chain=False)

    def clear_stack(self) -> None:
        """Discard the stacks: the next write of any process begins at the start."""
        os.lseek(self.fd, _SIZE, os.SEEK_SET)

    def stack(self) -> tuple[str, ...]:
        """Return the lines that were written since the last `clear_stack`."""
        size = os.lseek(self.fd, 0, os.SEEK_CUR) - _SIZE
        if size <= 0:
            return ()
        text = os.pread(self.fd, min(size, _STACK_ROOM), _SIZE)
        return tuple(text.decode("utf-8", "replace").splitlines())

    def is_open_in(self, pid: int) -> bool:
        """Return True if a process can write its stacks here.

        A job may have closed the descriptor; its number may then be that of another
        file.
        """
        mine = os.fstat(self.fd)
        with suppress(OSError):
            theirs = os.stat(f"/proc/{pid}/fd/{self.fd}")  # noqa: PTH116 - no path
            return (theirs.st_dev, theirs.st_ino) == (mine.st_dev, mine.st_ino)
        return False

    def close(self) -> None:
        """Close the scoreboard, in this process only."""
        self._page.close()
        os.close(self.fd)
