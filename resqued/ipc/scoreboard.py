"""What a worker is doing, in memory that it shares with its master and its child.

The worker writes at every step of a job, the master reads when it wants to know:
when the worker has died, when a deadline is due. A message for each step would
wake the master for nothing, thousands of times a second. The child reads why it is
being ended, and writes the limits of its job. Behind the page, in the same file,
is the place for stacks.

Jobs run in the child, so a job can write anything here. The size of the file is sealed,
and a reader takes nothing for granted: what no worker can have written is reported as
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

# A number stands in front of each pair of records: that of the last one written.
_NUMBER = struct.Struct("=Q")
_NUMBER_SIZE = _NUMBER.size
_TURNS = 1 << 64
_STATUS = struct.Struct("=IIdq")
_LIMITS = struct.Struct("=qdqd")
_TALLY = struct.Struct("=QQ")
# Followed by as many bytes of text.
_CAUSE = struct.Struct("=qI")
_IDLE = struct.Struct("=d")
_STATUS_AT, _LIMITS_AT, _TALLY_AT, _IDLE_AT, _CAUSE_AT = 0, 256, 512, 640, 768
_SIZE = 4096
_READ_TRIES = 100
# What a limit of memory is at most: nobody has as much.
_MOST = (1 << 63) - 1
# A deep recursion in a hundred threads is more than anybody reads.
_STACK_ROOM = 64 << 10
# Bytes of the reason why a child is ended.
_MAX_REASON = 2000
# Who maps a file that is cut off dies of SIGBUS; one that grows takes memory.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
# The largest pid there can be (proc(5), pid_max), and more runs than a worker has.
_MAX_PID = 1 << 22
_MAX_RUNS = 1 << 53


class Phase(IntEnum):
    """The step that a worker is at."""

    STARTING = 0
    WAITING = 1
    RESERVING = 2
    RUNNING = 3
    SETTLING = 4
    STOPPING = 5


class StepRecord(NamedTuple):
    """One reading: the phase, the child if any, and since when.

    `since` is monotonic seconds; `began` is in ticks since boot, as start times
    of processes are.
    """

    phase: Phase = Phase.STARTING
    child: int = 0
    since: float = 0.0
    began: int = 0


# What is read where no worker can have written what is there. Only a job can have done
# that, so one runs: its child is not known.
SPOILT = StepRecord(Phase.RUNNING)
_PHASES, _CAUSES = frozenset(Phase), frozenset(Cause)


class RunCounts(NamedTuple):
    """How many runs a worker has settled, and how many of them had failed."""

    done: int = 0
    failed: int = 0


class Scoreboard:
    """One page of shared memory, written by one worker, and stacks behind it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)

    @classmethod
    def create(cls) -> Scoreboard:
        """Make a page; its descriptor goes to the worker. Raises OSError."""
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
        """Tell what the worker does now, in the words of a StepRecord."""
        self._pack(_STATUS, _STATUS_AT, phase, child, since, began)

    def read(self) -> StepRecord:
        """Return the last status; one that is just being written is read again.

        SPOILT stands for anything that a worker does not write.
        """
        phase, child, since, began = self._unpack(_STATUS, _STATUS_AT)
        is_sane = phase in _PHASES and child != 1 and child <= _MAX_PID and began >= 0
        if not (is_sane and isfinite(since) and since >= 0):
            return SPOILT
        return StepRecord(Phase(phase), child, since, began)

    def set_idle_since(self, since: float) -> None:
        """Tell since when there has been no job, in monotonic seconds."""
        _IDLE.pack_into(self._page, _IDLE_AT, since)

    def idle_since(self) -> float:
        """Return since when an idle worker has had no job; 0.0: not known."""
        since = float(_IDLE.unpack_from(self._page, _IDLE_AT)[0])
        return since if isfinite(since) and since >= 0 else 0.0

    def count(self, done: int, failed: int) -> None:
        """Tell how many runs there have been, and how many of them had failed."""
        self._pack(_TALLY, _TALLY_AT, done, failed)

    def run_counts(self) -> RunCounts:
        """Return how many runs there have been; none if the numbers make no sense."""
        done, failed = self._unpack(_TALLY, _TALLY_AT)
        return RunCounts(done, failed) if failed <= done < _MAX_RUNS else RunCounts()

    def limit(self, pid: int, limits: Limits, used: float = 0.0) -> None:
        """In the child: tell the limits of its job; those of None are -1.

        `used` is the CPU time, in seconds, that earlier jobs have had of it.
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
        """Return the CPU time that earlier jobs have had of a child."""
        owner, _, _, used = self._unpack(_LIMITS, _LIMITS_AT)
        return float(used) if owner == pid and isfinite(used) else 0.0

    def set_cause(self, cause: Cause, reason: str = "") -> None:
        """Tell the child why it is about to be terminated, also as a text."""
        text = reason.encode("utf-8", "replace")[:_MAX_REASON]
        begin = _CAUSE_AT + _CAUSE.size
        self._page[begin : begin + len(text)] = text
        _CAUSE.pack_into(self._page, _CAUSE_AT, cause, len(text))

    def cause(self) -> tuple[Cause, str]:
        """In the child: return why it is being terminated, also as a text."""
        cause, length = _CAUSE.unpack_from(self._page, _CAUSE_AT)
        if cause not in _CAUSES:
            return Cause.ORDER, ""
        begin = _CAUSE_AT + _CAUSE.size
        text = self._page[begin : begin + min(length, _MAX_REASON)]
        return Cause(cause), text.decode("utf-8", "ignore")

    def _pack(self, record: struct.Struct, place: int, *values: Any) -> None:
        """Write a record beside the one that counts, then have this one count.

        Who is killed, or waits, in the middle of it leaves the last one whole.
        """
        first = place + _NUMBER_SIZE
        turn = _NUMBER.unpack(self._page[place:first])[0] + 1
        if turn == _TURNS:  # a job has written there
            turn = 0
        begin = first + turn % 2 * record.size
        # Slices are copied as they are; pack_into would write zeroes before.
        self._page[begin : begin + record.size] = record.pack(*values)
        self._page[place:first] = _NUMBER.pack(turn)

    def _unpack(self, record: struct.Struct, place: int) -> tuple[Any, ...]:
        """Read the record that counts, unless it ceases to while it is read."""
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
        """In the worker: have STACK_SIGNAL write this process's stacks behind the page.

        So it is for every child forked from now on. faulthandler writes from
        within the signal, even while Python waits in a system call.
        """
        faulthandler.register(STACK_SIGNAL, file=self.fd, all_threads=True, chain=False)

    def clear_stack(self) -> None:
        """Make room for new stacks: everybody's writes go on from here."""
        os.lseek(self.fd, _SIZE, os.SEEK_SET)

    def stack(self) -> tuple[str, ...]:
        """Return the lines that were written since the place was cleared."""
        size = os.lseek(self.fd, 0, os.SEEK_CUR) - _SIZE
        if size <= 0:
            return ()
        text = os.pread(self.fd, min(size, _STACK_ROOM), _SIZE)
        return tuple(text.decode("utf-8", "replace").splitlines())

    def is_open_in(self, pid: int) -> bool:
        """Return True if a process can write its stacks here.

        A job may have closed the descriptor, whose number is then that of another file.
        """
        mine = os.fstat(self.fd)
        with suppress(OSError):
            theirs = os.stat(f"/proc/{pid}/fd/{self.fd}")  # noqa: PTH116 - no path
            return (theirs.st_dev, theirs.st_ino) == (mine.st_dev, mine.st_ino)
        return False

    def close(self) -> None:
        """Give the page up, in this process only."""
        self._page.close()
        os.close(self.fd)
