"""A job that has failed in its child, and its on_failure hooks.

Runs in the child.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from resqued.errors import (
    DirtyExit,
    JobTerminated,
    JobTimeout,
    MemoryLimitExceeded,
)
from resqued.hooks import job_info, performing
from resqued.hooks.job_hooks import Hook, Hooks
from resqued.hooks.job_info import JobInfo
from resqued.log import capture, logger
from resqued.wire.payload import (
    JOB_TIMEOUT,
    MEMORY_LIMIT,
    OUT_OF_MEMORY,
    TERM_EXCEPTION,
    FailureInfo,
)

_ERRORS: dict[str, type[BaseException]] = {
    JOB_TIMEOUT: JobTimeout,
    MEMORY_LIMIT: MemoryLimitExceeded,
    OUT_OF_MEMORY: MemoryLimitExceeded,
    TERM_EXCEPTION: JobTerminated,
}


# Called with job and exception after the hooks; set before the first fork.
afterwards: list[Callable[[JobInfo, BaseException], None]] = []


class HookedFailure(NamedTuple):
    """Why a job has failed, and what its on_failure hooks need.

    `retry` is the delay after which it is tried again, in seconds, or None.
    """

    fault: FailureInfo
    hooks: Hooks | None = None
    job: JobInfo | None = None
    error: BaseException | None = None
    retry: float | None = None

    def run_hooks(self) -> None:
        """Run the on_failure hooks, when the worker has the outcome already.

        The worker ends this process if that takes longer than `exit_grace`.
        """
        if self.hooks is None or self.job is None or self.error is None:
            return
        performing.run_on_failure(self.hooks, self.job, self.error, report)
        for call in afterwards:
            call(self.job, self.error)


def failed_job(
    fault: FailureInfo, hooks: Hooks | None, error: BaseException
) -> HookedFailure:
    """Return the failure of the running job, with its on_failure hooks, if any."""
    job = job_info.current_job()
    has_hooks = hooks is not None and "on_failure" in hooks
    if job is None or not (has_hooks or afterwards):
        return HookedFailure(fault)
    return HookedFailure(fault, hooks or {}, job, error)


def error_of(fault: FailureInfo) -> BaseException:
    """Return an exception for a job whose child has died, as its hooks get it."""
    kind = _ERRORS.get(fault.exception, DirtyExit)
    return kind(fault.error)


def report(hook: Hook, error: BaseException) -> None:
    """Log that a hook has raised an exception which has no other effect."""
    about = capture.context_fields()
    logger.get(**about).error("hook_failed", hook=hook.name, exc_info=error)
