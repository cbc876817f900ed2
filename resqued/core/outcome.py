"""What became of a run: from what the child told, and from how it ended."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import NamedTuple

from resqued.core.payload import DIRTY_EXIT, TERM_EXCEPTION, Fault


class Exit(NamedTuple):
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


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} "
    except ValueError:
        return ""


class Told(NamedTuple):
    """What the child said before it ended: a fault, or that all went well."""

    fault: Fault | None = None


def judge(
    told: Told | None, ended: Exit, *, pid: int, reason: str = ""
) -> Fault | None:
    """Return why the run failed, or None if it succeeded.

    What the child told counts, however it ended afterwards. `os._exit(0)` is a
    success, as in Ruby; any other status is not, unlike there. `reason` says
    why we ended the child, if we did.
    """
    if told is not None:
        return _explain(told.fault, reason)
    if ended.code == 0:
        return None
    because = f": {reason}" if reason else ""
    if ended.code > 0:
        return Fault(
            DIRTY_EXIT, f"Child process pid {pid} exited with {ended}{because}"
        )
    return Fault(
        DIRTY_EXIT,
        f"Child process received unhandled signal pid {pid} {ended}{because}",
    )


def _explain(fault: Fault | None, reason: str) -> Fault | None:
    """Add to a job's own word of its termination why it was terminated."""
    if fault is None or fault.exception != TERM_EXCEPTION or not reason:
        return fault
    return replace(fault, error=f"{fault.error}: {reason}")
