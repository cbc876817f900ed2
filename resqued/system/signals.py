"""Signals as events, read from a descriptor instead of being handled at once.

Master, zygote and workers block their signals for their whole life and read them,
with the pids of the senders, from a signalfd(2). A child that was forked from a
worker unblocks them and reacts at once, because a signal must interrupt its job.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import os
import signal
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from msgspec import Struct

# struct signalfd_siginfo begins with: number, errno, code, pid, uid.
_INFO = struct.Struct("=IiiII")
_INFO_SIZE = 128
# The bytes of one read; few signals are pending at a time.
_ROOM = 16 * _INFO_SIZE
_SIGSET_SIZE = 128
# How proc(5) shows it.
_SIGNALFD = "anon_inode:[signalfd]"
_signalfd = ctypes.CDLL(None, use_errno=True).signalfd


# hot path: plain-records
class Received(Struct):
    """A signal, with the pid (0: the kernel) and the uid of its sender."""

    signum: int
    sender: int
    uid: int


class SignalInbox:
    """The signalfd(2) of this process; a process has at most one.

    Blocks the signals in HANDLED. Raises OSError if the kernel refuses a signalfd.
    """

    def __init__(self) -> None:
        self._reaction: Callable[[int], None] | None = None
        # Ignored unless this process dumps stacks; the default action would kill it.
        signal.signal(STACK_SIGNAL, signal.SIG_IGN)
        self.take_signals()
        mask = bytearray(_SIGSET_SIZE)
        for signum in HANDLED:
            mask[(signum - 1) // 8] |= 1 << ((signum - 1) % 8)
        self._mask = bytes(mask)
        self._fd = _open(self._mask)

    def take_signals(self) -> None:
        """Block the signals in HANDLED, and set their handlers.

        Called again after code of the application, which may have changed them. With
        SIGCHLD ignored the kernel would not report the end of any child; with the
        default action of SIGPIPE a closed connection would kill the process.
        """
        block()
        for signum in (signal.SIGPIPE, signal.SIGXFSZ):
            if signal.getsignal(signum) is not signal.SIG_IGN:  # as Python has begun
                signal.signal(signum, signal.SIG_IGN)
        for signum in HANDLED:
            # A handler of faulthandler stays: Python does not know of it.
            if signal.getsignal(signum) == self._handle:
                continue
            # The handlers run only in a child: in this process the signals are blocked.
            signal.signal(signum, self._handle)
            # Restart an interrupted system call, except after the signals that end a
            # job: the call might never return.
            signal.siginterrupt(signum, signum in (signal.SIGTERM, signal.SIGINT))

    def reopen(self) -> None:
        """Make this the inbox of a process that was forked from the one before.

        Raises OSError if the kernel refuses a signalfd.
        """
        os.close(self._fd)
        self._fd = _open(self._mask)

    def put_back(self) -> None:
        """Open the inbox if the application has closed its descriptor.

        Raises OSError if the kernel refuses a signalfd.
        """
        try:
            is_open = str(Path(f"/proc/self/fd/{self._fd}").readlink()) == _SIGNALFD
        except OSError:
            is_open = False
        if not is_open:  # its number may be that of another file
            self._fd = _open(self._mask)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        """Call the reaction; runs only in a child."""
        if self._reaction is not None:
            self._reaction(signum)

    def fileno(self) -> int:
        """Return the descriptor; it is readable when a signal is pending."""
        return self._fd

    def drain(self) -> list[Received]:
        """Return the signals received since the last call, in order."""
        received: list[Received] = []
        is_full = True
        while is_full:
            try:
                data = os.read(self._fd, _ROOM)
            except BlockingIOError:
                break
            for start in range(0, len(data), _INFO_SIZE):
                signum, _, _, pid, uid = _INFO.unpack_from(data, start)
                received.append(Received(signum, pid, uid))
            is_full = len(data) == _ROOM
        return received

    def react(self, reaction: Callable[[int], None] | None) -> None:
        """Call `reaction` with the number of each signal, at once; None ignores them.

        The handlers do not change. A child closes the descriptor of this inbox.
        """
        # hot path: handlers-once
        self._reaction = reaction

    def close(self) -> None:
        """Close the descriptor; the signals stay blocked."""
        os.close(self._fd)


def _open(mask: bytes) -> int:
    fd: int = _signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return fd


# Makes a worker or a child write its stacks to the scoreboard. Jobs and their libraries
# may use the standard signals, so it is a real-time signal.
STACK_SIGNAL = signal.SIGRTMIN + 7

# All signals that any process of a master handles. None of them may be delivered
# between a fork and the time at which the child is ready for it.
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


# signal.pthread_sigmask calls this function and converts its result to enum members,
# which are not used here. hot path: raw-sigmask
_sigmask = _signal.pthread_sigmask
_NUMBERS = tuple(int(signum) for signum in HANDLED)
_BLOCK, _UNBLOCK = int(signal.SIG_BLOCK), int(signal.SIG_UNBLOCK)


def block() -> None:
    """Block the signals in HANDLED; a child of fork(2) begins with the same mask."""
    _sigmask(_BLOCK, _NUMBERS)


def unblock() -> None:
    """Unblock the signals in HANDLED, in a child that is ready to react."""
    _sigmask(_UNBLOCK, _NUMBERS)


def merged(received: Sequence[Received]) -> list[Received]:
    """Return the signals in order, each once, so that two reloads become one."""
    return list({each.signum: each for each in received}.values())
