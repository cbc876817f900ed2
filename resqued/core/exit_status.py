"""How a process ended, in numbers and in the words of Ruby Resque."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its status, or the negative number of a signal."""

    code: int
    has_core: bool = False

    def __str__(self) -> str:
        """Name the signal or the status, as Ruby does (wire format 2.2)."""
        if self.code >= 0:
            return f"status {self.code}"
        text = f"{_signal_name(-self.code)}signal {-self.code}"
        if text[0] == "S":
            text = text.replace("signal", "(signal") + ")"
        return f"{text} (core dumped)" if self.has_core else text


# What most children do and say.
LEFT_WELL = Exit(0)


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} "
    except ValueError:
        return ""
