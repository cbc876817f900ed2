"""Ctrl-C and SIGTERM: noted when they come, obeyed where nothing is half done."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

# A terminal that is closed says SIGHUP.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The demo was told to end; not meant for an `except Exception`."""

    def __init__(self, signum: signal.Signals) -> None:
        super().__init__(signum.name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The exit status by which shells tell of a signal."""
        return 128 + self.signum


class Interrupts:
    """Takes the signals from when it is entered until the process ends."""

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        # What is ignored by whoever started us stays so: nohup(1), scripts.
        self._ours = [s for s in _SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]

    def __enter__(self) -> Self:
        """Take over from Python's own handlers."""
        for signum in self._ours:
            signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more: the process ends now, and with what status is decided."""
        for signum in self._ours:
            signal.signal(signum, signal.SIG_IGN)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # Not raised from here: that would hit things half done, and whatever
        # swallows exceptions, such as __del__.
        self._received.append(signal.Signals(signum))

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self._received:
            raise Interrupted(self._received[0])

    @property
    def is_urgent(self) -> bool:
        """Whether they were not content with asking once."""
        return len(self._received) > 1
