"""From a job to its name on the wire and its queue, and what runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError

# Set by resqued.job on the classes that it decorates.
NAME_ATTRIBUTE = "__resqued_name__"
QUEUE_ATTRIBUTE = "__resqued_queue__"
LIMITS_ATTRIBUTE = "__resqued_limits__"


@runtime_checkable
class DeclaredJob(Protocol):
    """What resqued.job makes of a function."""

    name: str
    queue: str | None
    limits: Limits
    asked: Limits

    def perform(self, *args: Any) -> Any:
        """Run the job here and now."""


JobLike = DeclaredJob | type | str


def wire_name(job: JobLike) -> str:
    """Return the class name on the wire: the name given, or the dotted path.

    Raises JobClassError for what a worker could never find.
    """
    if isinstance(job, str):
        if not job:
            raise JobClassError("a job must be given a class")
        return job
    if isinstance(job, type):
        given = vars(job).get(NAME_ATTRIBUTE)
        return str(given) if given else dotted_path(job)
    if isinstance(job, DeclaredJob):
        return job.name
    raise JobClassError(
        f"{job!r} is not a job: give it perform, or decorate it with resqued.job"
    )


def dotted_path(target: Callable[..., Any]) -> str:
    """Return module and name of a class or function that a worker can import."""
    module, name = target.__module__, target.__qualname__
    if module == "__main__":
        raise JobClassError(
            f"{name} is defined in __main__, which no worker can import:"
            " move it to a module, or give it a name= of its own"
        )
    if "<" in name:
        raise JobClassError(
            f"{module}.{name} is defined inside a function, where no worker finds it:"
            " move it to the module, or give it a name= of its own"
        )
    return f"{module}.{name}"


def queue_of(job: JobLike) -> str:
    """Return the queue of a job; raise JobClassError if it names none."""
    queue: object
    if isinstance(job, str):
        queue = None
    elif isinstance(job, type):
        queue = vars(job).get(QUEUE_ATTRIBUTE) or getattr(job, "queue", None)
    else:
        queue = job.queue
    if not isinstance(queue, str) or not queue:
        raise JobClassError(
            f"{wire_name(job)} has no queue: give it one, or use enqueue_to"
        )
    return queue


def target_of(job: DeclaredJob | type) -> Callable[..., Any]:
    """Return what to call with the arguments of a job."""
    if not isinstance(job, type):
        return job.perform
    perform = inspect.getattr_static(job, "perform", None)
    if isinstance(perform, staticmethod | classmethod):
        target: Callable[..., Any] = job.perform  # type: ignore[attr-defined]
        return target
    raise JobClassError(
        f"{wire_name(job)}.perform must be a staticmethod or a classmethod"
    )


def limits_of(job: DeclaredJob | type) -> Limits:
    """Return the limits that a job declares."""
    if not isinstance(job, type):
        return job.limits
    found = vars(job).get(LIMITS_ATTRIBUTE, UNSET)
    assert isinstance(found, Limits), "set by resqued.job alone"
    return found


def payload_limits(job: JobLike) -> Limits:
    """Return the limits that go with each payload of a job, if any do."""
    return UNSET if isinstance(job, str | type) else job.asked
