"""Ctrl-C and SIGTERM: noted when they come, obeyed where nothing is half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

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
    """Takes the signals while it is entered."""

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        self._may_raise = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take over from Python's own handlers."""
        for signum in _SIGNALS:
            before = signal.getsignal(signum)
            # Ignored by whoever started us, as nohup(1) and scripts do.
            if before is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._received.append(signal.Signals(signum))
        if self._may_raise:
            self._may_raise = False
            self.check()

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self._received:
            raise Interrupted(self._received[0])

    @property
    def is_urgent(self) -> bool:
        """Whether they were not content with asking once."""
        return len(self._received) > 1

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise Interrupted wherever the code may be, for calls that may hang.

        Such a call must leave nothing that the caller cannot clear away.
        """
        self._may_raise = True
        try:
            self.check()
            yield
        finally:
            self._may_raise = False
