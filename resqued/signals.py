"""Signals as events: a wake-up descriptor to wait on, and nothing in handlers.

`signal.set_wakeup_fd` writes the number of each signal into a socket; the owner
waits on it together with everything else and reads the numbers when it is safe.
A child that was forked from here reacts at once instead, as a job's signals must.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType

# More than are ever waiting; a small buffer is a cheap one.
_ROOM = 256


class SignalInbox:
    """The place where received signals wait; one per process."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._reaction: Callable[[int], None] | None = None
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        # A full pipe means that a wake-up is under way: no warning is due.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for signum in signals:
            signal.signal(signum, self._handle)
            # A system call that was interrupted goes on after the signal.
            signal.siginterrupt(signum, False)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        """Do nothing: the wake-up descriptor has the number; in a child, react."""
        if self._reaction is not None:
            self._reaction(signum)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal waits."""
        return self._read.fileno()

    def descriptors(self) -> tuple[int, int]:
        """Return both ends, which no child should hold."""
        return self._read.fileno(), self._write.fileno()

    def drain(self) -> Iterable[int]:
        """Return the signals received since last time, in order, once each.

        As numbers: a worker does this for every job.
        """
        try:
            return dict.fromkeys(self._read.recv(_ROOM))
        except BlockingIOError:
            return ()

    def react(self, reaction: Callable[[int], None]) -> None:
        """In a child right after fork, with signals blocked: react to each at once.

        The handlers stay as they are. Setting each anew would cost more than all
        else that a child does before its job. The child closes our descriptors.
        """
        self._reaction = reaction
        signal.set_wakeup_fd(-1)

    def close(self) -> None:
        """Take no more signals; the handlers stay, and do nothing."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()


# All that any of our processes handles: what must not arrive between a fork and
# the moment at which the child is ready for it.
HANDLED = frozenset(
    (
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCONT,
        signal.SIGHUP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCHLD,
    )
)


# What signal.pthread_sigmask calls, and of whose answer it makes enums that nobody
# reads here: at each fork they would be copied pages.
_sigmask = _signal.pthread_sigmask
_NUMBERS = tuple(int(signum) for signum in HANDLED)


def block() -> None:
    """Hold signals back; fork(2) copies that to the child."""
    _sigmask(signal.SIG_BLOCK, _NUMBERS)


def unblock() -> None:
    """Let signals through: in the parent after a fork, in a child once it is ready."""
    _sigmask(signal.SIG_UNBLOCK, _NUMBERS)
