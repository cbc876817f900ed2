"""From a job to its name on the wire and its queue, and what runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, get_origin

from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError, QueueNameError
from resqued.wire import queue_list

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


def mark(target: type, name: str, queue: str | None, limits: Limits) -> None:
    """Note on a class that it is a job; raise JobClassError if it takes no notes."""
    try:
        setattr(target, NAME_ATTRIBUTE, name)
        if queue:
            setattr(target, QUEUE_ATTRIBUTE, queue)
        setattr(target, LIMITS_ATTRIBUTE, limits)
    except (AttributeError, TypeError) as error:
        raise JobClassError(
            f"{name} cannot be a job, because it takes no attributes ({error}):"
            " declare a function, or a class of its own"
        ) from error


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
    raise JobClassError(_what_it_is(job))


def _what_it_is(job: object) -> str:
    """Return why something is not a job, and the way out."""
    if job is None:
        return (
            "None is not a job: pass the job and then its arguments, as in"
            " enqueue(archive, 44), and not what a call of it returned"
        )
    if inspect.isroutine(job):
        place = f"{job.__module__}.{job.__qualname__}"
        return f"function {place} is not a job: decorate it with @resqued.job(queue=…)"
    if isinstance(origin := get_origin(job), type):
        return f"{job!r} is not a job: pass the class {origin.__qualname__} itself"
    if hasattr(job, "perform"):
        kind = type(job).__name__
        return f"an instance of {kind} is not a job: pass the class {kind} itself"
    return (
        f"{job!r} is not a job: a job is a function decorated with resqued.job, a class"
        " with perform, or a name"
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
    if isinstance(queue, str) and queue:
        return queue
    name = wire_name(job)
    if isinstance(job, str):
        raise JobClassError(
            f"{name!r} is a name alone and has no queue: use enqueue_to, with the queue"
            " before the name"
        )
    if not queue:
        raise JobClassError(f"{name} has no queue: give it one, or use enqueue_to")
    raise JobClassError(f"{name} has queue {queue!r}, which is not a str")


def check_queue(queue: object) -> str:
    """Return the name of a queue that jobs may be put on.

    Raises QueueNameError for a name that no queue list can name by itself.
    """
    name = check_queue_name(queue)
    if not queue_list.is_plain(name):
        raise QueueNameError(
            f"queue {queue!r} cannot be named in `resqued work`: a name has no comma,"
            " none of * ? [ ] { }, no ! in front, and no blanks at its ends"
        )
    return name


def check_queue_name(queue: object) -> str:
    """Return the name of any queue, which other libraries may have named oddly.

    Raises QueueNameError if it is empty or not a str.
    """
    if not isinstance(queue, str):
        raise QueueNameError(f"queue {queue!r} is not a str: name one, such as 'low'")
    if not queue:
        raise QueueNameError("a job must be placed onto a queue, and its name is empty")
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
        name = wire_name(job)
        raise JobClassError(
            f"{name} has no perform: give it a static or class method perform, or"
            f" enqueue it by its name, as in enqueue_to('low', '{name}', 44)"
        )
    raise JobClassError(
        f"{wire_name(job)}.perform must be a staticmethod or a classmethod: a job has"
        " no self"
    )


def function_of(job: JobLike) -> Callable[..., Any] | None:
    """Return the function whose parameters a job has; None for a name alone.

    Raises JobClassError for a class without a static or class method `perform`.
    """
    if isinstance(job, str):
        return None
    if isinstance(job, type):
        return target_of(job)
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
