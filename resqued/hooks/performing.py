"""A job with hooks, from before_perform to after_perform, and its on_failure.

Runs in the child; with `inline` in the producer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from resqued.errors import DontPerform, JobClassError
from resqued.hooks.job_hooks import Hook, Hooks
from resqued.hooks.job_info import JobInfo

Report = Callable[[Hook, BaseException], object]


def perform(hooks: Hooks, target: Callable[[], Any], job: JobInfo) -> None:
    """Run the job with its hooks; `target` runs the job itself.

    DontPerform of a before_perform hook ends the job as a success. Every other
    exception of a hook is raised, and is that of the job.
    """
    for hook in hooks.get("before_perform", ()):
        try:
            hook.run(job)
        except DontPerform:
            return
    _perform_within(hooks.get("around_perform", ()), target, job)
    for hook in hooks.get("after_perform", ()):
        hook.run(job)


def _perform_within(
    around: Sequence[Hook], target: Callable[[], Any], job: JobInfo
) -> Any:
    """Run the job within the hooks, of which the first one is the outermost."""
    if not around:
        return target()
    hook, *inner = around
    manager = hook.begin(job)

    def within() -> Any:
        return _perform_within(inner, target, job)

    if inspect.isgenerator(manager):
        return _drive(manager, hook, within)
    if not isinstance(manager, AbstractContextManager):
        raise JobClassError(
            f"{hook.name} is neither a generator function nor returns a context manager"
        )
    with manager:
        return within()


def _drive(
    hook: Generator[Any, Any, Any], about: Hook, within: Callable[[], Any]
) -> Any:
    """Run what is inside a hook while the hook waits at its yield.

    A hook that does not yield skips the job, and one that catches its exception makes
    it a success.
    """
    result = None
    try:
        next(hook)
    except StopIteration:
        return None
    failure: BaseException | None = None
    try:
        result = within()
    except BaseException as error:
        failure = error
        try:
            hook.throw(error)
        except StopIteration:
            return None
        except RuntimeError as wrapped:
            # What Python makes of a StopIteration that leaves a generator.
            if isinstance(error, StopIteration) and wrapped.__cause__ is error:
                raise error from None
            raise
    else:
        try:
            hook.send(result)
        except StopIteration:
            return result
    with suppress(RuntimeError):  # it yields at its end, too
        hook.close()
    raise JobClassError(f"{about.name} yields more than once") from failure


def run_on_failure(
    hooks: Hooks, job: JobInfo, error: BaseException, report: Report
) -> None:
    """Call each on_failure hook; `report` gets the exceptions of those that raise."""
    for hook in hooks.get("on_failure", ()):
        try:
            hook.run(job, error)
        except BaseException as trouble:
            report(hook, trouble)
