"""The outcome of a run, from the child's report and from how the child ended.

Used by workers, and by the master for workers that died.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from resqued.core.exit_status import Exit
from resqued.core.limits import Cause
from resqued.wire import timestamps
from resqued.wire.payload import (
    DIRTY_EXIT,
    JOB_TIMEOUT,
    MEMORY_LIMIT,
    OUT_OF_MEMORY,
    TERM_EXCEPTION,
    FailureInfo,
)
from resqued.wire.ruby_json import quote

# Of the error of a death, in characters.
_MAX_DEATH = 1000

# The exception's name in the failure, by why the job was ended.
_NAMES = {
    Cause.ORDER: DIRTY_EXIT,
    Cause.RUNTIME: JOB_TIMEOUT,
    Cause.MEMORY: MEMORY_LIMIT,
}


class ChildReport(Struct, frozen=True):
    """What the child reported about its job before it ended.

    `fault` is None if the job succeeded. `has_left` is True if processes that the job
    started still run; `stays` if the child does not exit and can take another job.
    `retry` is the delay in seconds after which the job is tried again; None: it is not.
    """

    fault: FailureInfo | None = None
    has_left: bool = False
    stays: bool = False
    retry: float | None = None


# What most children report. hot path: made-once
SUCCEEDED = ChildReport()


class Termination(NamedTuple):
    """Why a job was ended: the text, the cause, and the stack of the job at the time.

    The text is empty if the job was not ended from outside.
    """

    text: str = ""
    cause: Cause = Cause.ORDER
    stack: tuple[str, ...] = ()


NO_TERMINATION = Termination()


def frames_of_job(stack: tuple[str, ...], home: str) -> tuple[str, ...]:
    """Return a stack without the frames of this package, whose directory is `home`.

    Those frames are the same for every job.
    """
    prefixes = (f'  File "{home}', '  File "<frozen runpy>"')
    return tuple(line for line in stack if not line.startswith(prefixes))


def judge(
    report: ChildReport | None,
    ended: Exit | None,
    *,
    pid: int,
    reason: Termination = NO_TERMINATION,
    out_of_memory: bool = False,
) -> FailureInfo | None:
    """Return why the run failed, or None if it succeeded.

    `report` is what the child reported, None if it did not; it counts no matter how
    the child ended afterwards. `ended` is how the child ended, None if that is not
    known. `os._exit(0)` is a success, as in Ruby; any other status is a failure,
    unlike in Ruby. `reason` is why we ended the child, if we did; `out_of_memory` is
    True if the kernel killed a process for want of memory during the run.
    """
    if report is not None:
        return _explain(report.fault, reason)
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
    # The job blocks signals, waits in an uninterruptible call, or died before.
    note = "" if reason.stack else "; no stack: no signal was taken"
    text = f"{reason.text}; {_lower(error)}{note}"
    return FailureInfo(_NAMES[reason.cause], text, reason.stack)


def death_record(
    fault: FailureInfo, *, worker: str, now: float, attempt: int = 0
) -> bytes:
    """Return what is kept of the death of a child or worker, a JSON object.

    The time comes first, in the form of `run_at` in the records of workers: scripts
    compare them. `now` is in seconds since the epoch, `attempt` is 0 if nobody knows.
    """
    number = f',"attempt":{attempt}' if attempt else ""
    return (
        f'{{"died_at":{quote(timestamps.run_at(now))}'
        f',"worker":{quote(worker)}'
        f',"exception":{quote(fault.exception)}'
        f',"error":{quote(fault.error[:_MAX_DEATH])}{number}}}'
    ).encode()


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _explain(fault: FailureInfo | None, reason: Termination) -> FailureInfo | None:
    """Add the reason for which we ended the job to the failure that it reported."""
    if fault is None or not reason.text:
        return fault
    if fault.exception == TERM_EXCEPTION:
        return replace(fault, error=f"{fault.error}: {reason.text}")
    if fault.exception == _NAMES[reason.cause]:
        return replace(fault, error=reason.text)
    return fault
