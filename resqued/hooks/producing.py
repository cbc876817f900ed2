"""The hooks of enqueue and dequeue, and jobs that run inline.

Runs in the producer. What a hook raises reaches the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resqued.errors import JobClassError
from resqued.hooks import coroutines, performing
from resqued.hooks.job_hooks import Hook, Hooks, hooks_of
from resqued.hooks.job_info import JobInfo, running_inline
from resqued.wire import arguments, payload
from resqued.wire.naming import JobLike, function_of, target_of, wire_name

NO_ARGUMENTS: Mapping[str, Any] = {}


class HookedCall:
    """A job that is put on a queue or taken off it, and that has hooks."""

    def __init__(self, hooks: Hooks, job: JobInfo) -> None:
        self._hooks = hooks
        self._job = job

    def is_vetoed(self, kind: str) -> bool:
        """Call all hooks of a kind; return True if one returned False."""
        answers = [hook.run(self._job) for hook in self._hooks.get(kind, ())]
        return any(answer is False for answer in answers)

    def run(self, kind: str) -> None:
        """Call all hooks of a kind."""
        for hook in self._hooks.get(kind, ()):
            hook.run(self._job)


def hooked_call(
    queue: str,
    job: JobLike,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] = NO_ARGUMENTS,
) -> HookedCall | None:
    """Return a call of the job with its hooks; None if the job has no hooks."""
    hooks = hooks_of(job)
    if hooks is None:
        return None
    if kwargs and (function := function_of(job)) is not None:
        args = arguments.by_position(wire_name(job), function, args, kwargs)
    return HookedCall(hooks, JobInfo(queue, wire_name(job), args))


def perform_inline(job: JobLike, text: str, queue: str) -> None:
    """Run a job here and now, with its hooks, and what a worker would have read."""
    if isinstance(job, str):
        raise JobClassError(f"{job} cannot run inline: only its name is known here")
    target, read = target_of(job), payload.decode_job(text.encode())
    hooks = hooks_of(job) or {}
    about = JobInfo(queue, read.class_name, tuple(read.args))

    def run() -> None:
        if (result := target(*read.args)) is not None:
            coroutines.finish(result)

    with running_inline(about):
        try:
            performing.perform(hooks, run, about)
        except BaseException as error:
            performing.run_on_failure(hooks, about, error, _raise)
            raise


def _raise(_hook: Hook, error: BaseException) -> None:
    raise error
