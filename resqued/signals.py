"""Signals as events: a wake-up descriptor to wait on, and nothing in handlers.

`signal.set_wakeup_fd` writes the number of each signal into a socket; the owner
waits on it together with everything else and reads the numbers when it is safe.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


def _note(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has the number already."""


class SignalInbox:
    """The place where received signals wait; one per process."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self.signals = frozenset(signals)
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        # A full pipe means that a wake-up is under way: no warning is due.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for signum in self.signals:
            signal.signal(signum, _note)
            # A blocked or slow system call goes on after the signal.
            signal.siginterrupt(signum, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal waits."""
        return self._read.fileno()

    def drain(self) -> list[signal.Signals]:
        """Return the signals received since last time, in order, once each."""
        try:
            data = self._read.recv(4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in dict.fromkeys(data)]

    def close(self) -> None:
        """Take no more signals: at the end, or in a child right after fork.

        The handlers stay, and do nothing; a child sets its own.
        """
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()


@contextmanager
def blocked() -> Iterator[None]:
    """Hold every signal back, so that none lands between fork and set-up.

    fork(2) copies the mask: the child must call unblock when it is ready.
    """
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def unblock() -> None:
    """Let signals through: called in a child once its handlers stand."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset(signals: Iterable[signal.Signals]) -> None:
    """Give signals their default action again."""
    for signum in signals:
        signal.signal(signum, signal.SIG_DFL)


def disregard(signals: Iterable[signal.Signals]) -> None:
    """Do nothing on these signals.

    A handler, not SIG_IGN: programs that a job starts would inherit SIG_IGN.
    """
    for signum in signals:
        signal.signal(signum, _note)
