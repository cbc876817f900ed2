"""How a process ended: as a number, and as text in the words of Ruby Resque."""

from __future__ import annotations

import signal

from msgspec import Struct


class Exit(Struct, frozen=True):
    """How a process ended.

    `code` is the exit status, or the negative number of the signal that killed the
    process, as os.waitstatus_to_exitcode returns it; `has_core` is True if the
    kernel wrote a core dump.
    """

    code: int
    has_core: bool = False

    def __str__(self) -> str:
        """Return the signal or the status as Ruby writes it (wire format 2.2)."""
        if self.code >= 0:
            return f"status {self.code}"
        text = f"{_signal_name(-self.code)}signal {-self.code}"
        if text[0] == "S":
            text = text.replace("signal", "(signal") + ")"
        return f"{text} (core dumped)" if self.has_core else text

    @property
    def in_words(self) -> str:
        """What the process did, for a sentence about it."""
        return f"exited with {self}" if self.code >= 0 else f"died of {self}"


# Exit status 0, shared: most children end so.
LEFT_WELL = Exit(0)


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} "
    except ValueError:
        return ""
