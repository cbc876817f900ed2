"""Ctrl-C, SIGTERM and SIGHUP: recorded on arrival, raised only at safe points."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

# The kernel sends SIGHUP when the terminal is closed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The demo got a signal to end; `except Exception` must not catch it."""

    def __init__(self, signum: signal.Signals) -> None:
        super().__init__(signum.name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The exit status that shells use for a death by this signal."""
        return 128 + self.signum


class Interrupts:
    """Records the signals, from its start as a context until the process ends."""

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        # A signal that the parent has ignored stays ignored: nohup(1), scripts.
        self._ours = [s for s in _SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]

    def __enter__(self) -> Self:
        """Install the handlers."""
        for signum in self._ours:
            signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Ignore the signals: the process is about to end with a decided status."""
        for signum in self._ours:
            signal.signal(signum, signal.SIG_IGN)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # Not raised here: it could interrupt an operation half-way, or be lost in code
        # that ignores exceptions, such as __del__.
        self._received.append(signal.Signals(signum))

    def check(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        if self._received:
            raise Interrupted(self._received[0])

    @property
    def is_urgent(self) -> bool:
        """True if more than one signal has arrived."""
        return len(self._received) > 1
