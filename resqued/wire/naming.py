"""From a job to its name on the wire and its queue, and what runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol

from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError

P = ParamSpec("P")

# Set by resqued.job on the classes that it decorates.
NAME_ATTRIBUTE = "__resqued_name__"
QUEUE_ATTRIBUTE = "__resqued_queue__"
LIMITS_ATTRIBUTE = "__resqued_limits__"


class DeclaredJob(Protocol):
    """What resqued.job makes of a function."""

    name: str
    queue: str | None
    limits: Limits
    asked: Limits

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job here and now."""


class FunctionJob(DeclaredJob, Protocol[P]):
    """A job that is a function, for type checkers: P are its parameters."""

    @property
    def function(self) -> Callable[P, object]:
        """The function that was decorated."""
        ...


class ClassJob(Protocol[P]):
    """A job that is a class, for type checkers: P are the parameters of perform."""

    @staticmethod
    def perform(*args: P.args, **kwargs: P.kwargs) -> object:
        """Run the job; may be a classmethod as well."""


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
    # isinstance of a protocol takes fifty microseconds in Python 3.11.
    if isinstance(getattr(job, "asked", None), Limits):
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
        queue = getattr(job, "queue", None)
    if not queue:
        raise JobClassError(
            f"{wire_name(job)} has no queue: give it one, or use enqueue_to"
        )
    if not isinstance(queue, str):
        raise JobClassError(f"{wire_name(job)} has queue {queue!r}, which is not a str")
    return queue


def target_of(job: DeclaredJob | type) -> Callable[..., Any]:
    """Return what to call with the arguments of a job."""
    if not isinstance(job, type):
        return job.perform
    perform = inspect.getattr_static(job, "perform", None)
    if isinstance(perform, staticmethod | classmethod):
        target: Callable[..., Any] = job.perform  # type: ignore[attr-defined]
        return target
    if perform is None:
        raise JobClassError(f"{wire_name(job)} has no perform")
    raise JobClassError(
        f"{wire_name(job)}.perform must be a staticmethod or a classmethod"
    )


def function_of(job: JobLike) -> Callable[..., Any] | None:
    """Return the function whose parameters a job has; None if it is not known here.

    That is a job by name alone, or a class without `perform` that stands for a job
    of another language.
    """
    if isinstance(job, str):
        return None
    if isinstance(job, type):
        return target_of(job) if hasattr(job, "perform") else None
    return getattr(job, "function", job.perform)


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
