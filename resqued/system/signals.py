"""Signals as events: a descriptor to wait on, and nothing in handlers.

Master, zygote and workers hold signals back for as long as they live and read them
from a signalfd(2), together with who sent them, when it is safe. A child that was
forked from here lets them through and reacts at once, as a job's signals must.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import os
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

# struct signalfd_siginfo begins with: number, errno, code, pid, uid.
_INFO = struct.Struct("=IiiII")
_INFO_SIZE = 128
# Few wait at a time.
_ROOM = 16 * _INFO_SIZE
_SIGSET_SIZE = 128
_signalfd = ctypes.CDLL(None, use_errno=True).signalfd


# hot path: plain-records
@dataclass(slots=True)
class Received:
    """A signal, and the process that sent it; 0 if that was the kernel."""

    signum: int
    sender: int
    uid: int


class SignalInbox:
    """The place where received signals wait; one per process."""

    def __init__(self) -> None:
        self._reaction: Callable[[int], None] | None = None
        block()
        # Of no use to whoever keeps no scoreboard, and deadly by default.
        signal.signal(STACK_SIGNAL, signal.SIG_IGN)
        mask = bytearray(_SIGSET_SIZE)
        for signum in HANDLED:
            # In a child these act; here they are never called.
            signal.signal(signum, self._handle)
            # A system call that was interrupted goes on after the signal. Not so
            # after those that end a job: what it waits for may never come.
            signal.siginterrupt(signum, signum in (signal.SIGTERM, signal.SIGINT))
            mask[(signum - 1) // 8] |= 1 << ((signum - 1) % 8)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd: int = _signalfd(-1, bytes(mask), flags)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "signalfd")

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        """React, in a child."""
        if self._reaction is not None:
            self._reaction(signum)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal waits."""
        return self._fd

    def drain(self) -> list[Received]:
        """Return the signals received since last time, in order."""
        found: list[Received] = []
        is_full = True
        while is_full:
            try:
                data = os.read(self._fd, _ROOM)
            except BlockingIOError:
                break
            for start in range(0, len(data), _INFO_SIZE):
                signum, _, _, pid, uid = _INFO.unpack_from(data, start)
                found.append(Received(signum, pid, uid))
            is_full = len(data) == _ROOM
        return found

    def react(self, reaction: Callable[[int], None] | None) -> None:
        """In a child right after fork, with signals blocked: react to each at once.

        The handlers stay as they are. The child closes our descriptor.
        """
        # hot path: handlers-once
        self._reaction = reaction

    def close(self) -> None:
        """Take no more signals; they stay held back."""
        os.close(self._fd)


# What makes a worker or a child write down its stacks (see scoreboard). No other signal
# is free: jobs and their libraries use the standard ones.
STACK_SIGNAL = signal.SIGRTMIN + 7

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


# What signal.pthread_sigmask calls: that makes enum members of the answer, which
# nobody reads here. hot path: raw-sigmask
_sigmask = _signal.pthread_sigmask
_NUMBERS = tuple(int(signum) for signum in HANDLED)
_BLOCK, _UNBLOCK = int(signal.SIG_BLOCK), int(signal.SIG_UNBLOCK)


def block() -> None:
    """Hold signals back; a child of fork(2) begins with the same mask."""
    _sigmask(_BLOCK, _NUMBERS)


def unblock() -> None:
    """Let signals through, in a child that is ready to react."""
    _sigmask(_UNBLOCK, _NUMBERS)
