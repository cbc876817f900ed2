"""What became of a run: from what the child told, and from how it ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import NamedTuple

from resqued.core.exit_status import Exit
from resqued.core.limits import Cause
from resqued.wire.payload import (
    DIRTY_EXIT,
    JOB_TIMEOUT,
    MEMORY_LIMIT,
    OUT_OF_MEMORY,
    TERM_EXCEPTION,
    FailureInfo,
)

# What a failure is called, by why the job was ended.
_NAMES = {
    Cause.ORDER: DIRTY_EXIT,
    Cause.RUNTIME: JOB_TIMEOUT,
    Cause.MEMORY: MEMORY_LIMIT,
}


@dataclass(frozen=True, slots=True)
class ChildReport:
    """What the child said before it ended: a fault, or that all went well.

    `has_left`: processes that the job started still run; `stays`: the child does
    not leave, and may be given another job.
    """

    fault: FailureInfo | None = None
    has_left: bool = False
    stays: bool = False


# What most children report. hot path: made-once
SUCCEEDED = ChildReport()


class Termination(NamedTuple):
    """Why we ended a job, in words, what by, and where it was at the time."""

    text: str = ""
    cause: Cause = Cause.ORDER
    stack: tuple[str, ...] = ()


NO_TERMINATION = Termination()


def frames_of_job(stack: tuple[str, ...], home: str) -> tuple[str, ...]:
    """Return a stack without the frames of this package, which lies at home.

    They are the same for every job: those between a worker's start and its job.
    """
    ours = (f'  File "{home}', '  File "<frozen runpy>"')
    return tuple(line for line in stack if not line.startswith(ours))


def judge(
    told: ChildReport | None,
    ended: Exit | None,
    *,
    pid: int,
    reason: Termination = NO_TERMINATION,
    out_of_memory: bool = False,
) -> FailureInfo | None:
    """Return why the run failed, or None if it succeeded.

    What the child told counts, however it ended afterwards. `os._exit(0)` is a
    success, as in Ruby; any other status is not, unlike there. `reason` says
    why we ended the child, if we did; `out_of_memory` that the kernel killed
    somebody meanwhile.
    """
    if told is not None:
        return _explain(told.fault, reason)
    if ended is None or ended.code == 0:
        return None
    if ended.code > 0:
        error = f"Child process pid {pid} exited with {ended}"
    else:
        error = f"Child process received unhandled signal pid {pid} {ended}"
    if not reason.text and out_of_memory and ended.code == -signal.SIGKILL:
        return FailureInfo(OUT_OF_MEMORY, f"{error}: the kernel was out of memory")
    if reason.cause is Cause.ORDER:
        because = f": {reason.text}" if reason.text else ""
        return FailureInfo(DIRTY_EXIT, f"{error}{because}", reason.stack)
    # It blocks all signals, waits for the kernel alone, or was dead before.
    unseen = "" if reason.stack else "; no stack: no signal was taken"
    text = f"{reason.text}; {_lower(error)}{unseen}"
    return FailureInfo(_NAMES[reason.cause], text, reason.stack)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _explain(fault: FailureInfo | None, reason: Termination) -> FailureInfo | None:
    """Put why a job was ended to its own word of it."""
    if fault is None or not reason.text:
        return fault
    if fault.exception == TERM_EXCEPTION:
        return replace(fault, error=f"{fault.error}: {reason.text}")
    if fault.exception == _NAMES[reason.cause]:
        return replace(fault, error=reason.text)
    return fault
