"""A handle for signalling and waiting for one process, safe against reused pids."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from typing import Self

from resqued.system import process

# Seconds between two checks of a process whose end the kernel does not report.
_INTERVAL = 0.1


class ProcessHandle:
    """A process that is not a child of this one.

    It is identified by a pidfd. Where the kernel refuses pidfd_open(2), before Linux
    5.3 and in some containers, it is identified by pid and start time, and checked at
    an interval.
    """

    def __init__(self, pid: int, start: int, fd: int | None) -> None:
        self._pid = pid
        self._start = start
        self._fd = fd

    @classmethod
    def open(cls, pid: int) -> Self | None:
        """Return the handle of a process; None if it does not exist."""
        start = process.start_time(pid)
        if start is None:
            return None
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
                raise
            return cls(pid, start, None)
        return cls(pid, start, fd)

    def send(self, signum: signal.Signals) -> None:
        """Send a signal; raise ProcessLookupError if it has ended; PermissionError."""
        if self._fd is not None:
            signal.pidfd_send_signal(self._fd, signum)
        elif self._is_there():
            os.kill(self._pid, signum)
        else:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def has_ended(self, timeout: float | None) -> bool:
        """Wait for the end of the process; return False if it still runs after that.

        `timeout` is in seconds; None means no limit.
        """
        poll = select.poll()
        if self._fd is not None:
            poll.register(self._fd, select.POLLIN)
            return bool(poll.poll(None if timeout is None else timeout * 1000))
        give_up_at = None if timeout is None else time.monotonic() + timeout
        while self._is_there():
            if give_up_at is not None and time.monotonic() >= give_up_at:
                return False
            poll.poll(_INTERVAL * 1000)
        return True

    def close(self) -> None:
        """Close the pidfd, if one is open."""
        if self._fd is not None:
            os.close(self._fd)

    def _is_there(self) -> bool:
        return process.start_time(self._pid) == self._start
