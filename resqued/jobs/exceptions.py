"""What people read of an exception that a job has raised: its name, text, traceback.

Runs in the child. The methods of an exception are the application's code, and may do
anything.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection

from resqued.errors import JobTerminated, JobTimeout, MemoryLimitExceeded
from resqued.wire.payload import (
    JOB_TIMEOUT,
    MAX_BACKTRACE,
    MAX_ERROR,
    MEMORY_LIMIT,
    TERM_EXCEPTION,
    FailureInfo,
)

# Of a line in a backtrace that is too long to be told whole.
_MAX_LINE = 4_000

# A name that is made of data may have any length.
_MAX_NAME = 1_000

# What those that SIGTERM raises are called in a failure.
_TERMINATED: dict[type, str] = {
    JobTimeout: JOB_TIMEOUT,
    MemoryLimitExceeded: MEMORY_LIMIT,
}


def describe(error: BaseException, own_files: Collection[str]) -> FailureInfo:
    """Return what people read of an exception, whatever its class does.

    Frames of `own_files` are left out of its traceback.
    """
    try:
        return _describe_all(error, own_files)
    except BaseException as trouble:
        text = f"(no text: {type(trouble).__name__[:_MAX_NAME]} was raised)"
        return FailureInfo(type(error).__name__[:_MAX_NAME], text)


def _describe_all(error: BaseException, own_files: Collection[str]) -> FailureInfo:
    kind = type(error)
    if isinstance(error, JobTerminated):
        name, text = _TERMINATED.get(kind, TERM_EXCEPTION), "SIGTERM"
    else:
        home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        name, text = f"{home}{kind.__qualname__}", _text(error)
    # A message of megabytes has no business in a pipe (payload.failure cuts
    # again, and says so).
    lines = tuple(_backtrace(error, own_files))
    return FailureInfo(name[:_MAX_NAME], text[: 2 * MAX_ERROR], lines)


def _text(error: BaseException) -> str:
    try:
        if isinstance(error, SystemExit):
            return f"sys.exit({error.code!r})"
        # Not a subclass, whose methods are the application's.
        text = str.__str__(str(error))
    except BaseException as trouble:
        return f"({type(error).__name__}.__str__ raised {type(trouble).__name__})"
    return text or type(error).__name__


def _backtrace(error: BaseException, own_files: Collection[str]) -> list[str]:
    """Return Python's traceback in lines, without our own frames."""
    try:
        told = traceback.TracebackException.from_exception(error)
        told.stack = traceback.StackSummary.from_list(
            frame for frame in told.stack if frame.filename not in own_files
        )
        text = "".join(told.format())
    except BaseException as trouble:
        return [f"(no traceback: {type(trouble).__name__})"]
    lines = text.splitlines()
    if len(text) <= 4 * MAX_BACKTRACE:
        return lines
    # The last line is the message, of any length.
    return [line[:_MAX_LINE] for line in (*lines[:500], *lines[-500:])]
