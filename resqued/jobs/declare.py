"""Jobs that an application declares, and finding the one that a payload names.

Only what was declared is ever run: a job registered under its name, or a class
with `perform` in a module of the application. A payload never causes an import.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from resqued.client import default_client
from resqued.core import durations
from resqued.core.durations import Duration, Size
from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError
from resqued.jobs.coroutines import refuse_generators
from resqued.wire import arguments
from resqued.wire.naming import (
    LIMITS_ATTRIBUTE,
    NAME_ATTRIBUTE,
    QUEUE_ATTRIBUTE,
    DeclaredJob,
    dotted_path,
    limits_of,
    target_of,
)
from resqued.wire.payload import shown_name

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)
N = TypeVar("N", int, float)

# Methods of a job class that Ruby Resque calls, also with a name after them.
_HOOKS = (
    *("before_enqueue", "after_enqueue", "before_dequeue", "after_dequeue"),
    *("before_perform", "after_perform", "around_perform", "on_failure"),
)

# Filled when modules are imported, as decorators must; only read afterwards.
_declared: dict[str, DeclaredJob | type] = {}


class Job(Generic[P, R]):
    """A function that can be enqueued; calling it runs it here and now.

    `resqued.job` makes it. `function` is the function that was decorated, `name` the
    class name in payloads, and `queue` its queue, or None. `limits` are those that
    were declared, `asked` those of `limited`: each has `runtime` in seconds and
    `memory` in bytes, 0 for without limit and None for not given.
    """

    # What update_wrapper takes over from the function.
    __name__: str
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        *,
        queue: str | None,
        name: str,
        limits: Limits = UNSET,
        asked: Limits = UNSET,
    ) -> None:
        self.function = function
        self.queue = queue
        self.name = name
        self.limits = limits
        self.asked = asked
        # Not the attributes of the function, which could be called as ours are.
        update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<resqued job {self.name}>"

    def __reduce__(self) -> str:
        """Let pickle find the job by its name, as it finds a function."""
        return self.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as if it were no job."""
        return self.function(*args, **kwargs)

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the job with the arguments of a payload."""
        return self.function(*args, **kwargs)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Put the job on its queue, through the default client; return True.

        Keyword arguments are put at their position, because a payload has positions
        alone; a parameter left out before one of them gets its default. Raises
        ArgumentError if the arguments do not fit the function or JSON cannot hold
        one, JobClassError if the job has no queue, and StoreError if Redis did not
        confirm the job: it may be on the queue all the same.
        """
        return default_client().enqueue(self, *args, **kwargs)

    def enqueue_to(self, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Put the job on the queue that is named; return True.

        Raises what enqueue raises, and QueueNameError if the queue is empty or not a
        str.
        """
        return default_client().enqueue_to(queue, self, *args, **kwargs)

    def limited(
        self, *, timeout: Duration | None = None, memory: Size | None = None
    ) -> Job[P, R]:
        """Return a copy of the job, whose enqueue puts these limits into payloads.

        They go before all other limits. `timeout` is how long the job may run, in
        seconds or as "15m"; `memory` what its processes may use, in bytes or as
        "512M". 0 is without limit; what is left out stays as it is in this job.
        Raises JobClassError if a limit is negative or cannot be read.
        """
        asked = _limits(self.name, timeout, memory).with_fallback(self.asked)
        return Job(
            self.function,
            queue=self.queue,
            name=self.name,
            limits=self.limits,
            asked=asked,
        )


class Decorator:
    """What `resqued.job(…)` returns: makes a job of a function or a class."""

    def __init__(
        self,
        queue: str | None,
        name: str | None,
        timeout: Duration | None,
        memory: Size | None,
    ) -> None:
        self._queue = queue
        self._name = name
        self._limits = _limits(name or "job", timeout, memory)

    @overload
    def __call__(self, target: C) -> C: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, target: Callable[P, R]) -> Job[P, R]: ...
    def __call__(self, target: Any) -> Any:
        """Declare target, and return the job: the class itself, or a Job."""
        name = self._name or dotted_path(target)
        if isinstance(target, type):
            setattr(target, NAME_ATTRIBUTE, name)
            if self._queue:
                setattr(target, QUEUE_ATTRIBUTE, self._queue)
            setattr(target, LIMITS_ATTRIBUTE, self._limits)
            _check_function(name, target_of(target))
            _declare(name, target)
            return target
        _check_function(name, target)
        made: Job[..., Any] = Job(
            target, queue=self._queue, name=name, limits=self._limits
        )
        _declare(name, made)
        return made


def job(
    *,
    queue: str | None = None,
    name: str | None = None,
    timeout: Duration | None = None,
    memory: Size | None = None,
) -> Decorator:
    """Declare a job: a function, or a class with a static or class method `perform`.

    A function becomes a Job; a class stays as it is. `queue` is where enqueue puts
    the job. `name` is the class name in payloads, for jobs that Ruby or Node must
    find too; by default it is the dotted path. `timeout` is how long the job may run,
    in seconds or as "15m"; `memory` what its processes may use, in bytes or as
    "512M". 0 is without limit; what is left out comes from the configuration of the
    worker.

    Raises JobClassError if another job has the name, if no worker could import the
    function or call it by position, or if a limit is negative or cannot be read.
    """
    return Decorator(queue, name, timeout, memory)


def _check_function(name: str, function: Callable[..., Any]) -> None:
    refuse_generators(name, function)
    code = None if inspect.ismethod(function) else getattr(function, "__code__", None)
    first = code.co_varnames[0] if code and code.co_argcount else ""
    if first in {"self", "cls"}:
        raise JobClassError(
            f"{name} is a method, and a job has no {first}: declare a function, or a"
            " class with a static or class method perform"
        )
    if missing := arguments.keywords_without_default(function):
        raise JobClassError(
            f"{name} needs {', '.join(missing)} by keyword, and a job has its arguments"
            " by position: drop the * from its parameters, or give a default"
        )


def _limits(name: str, timeout: object, memory: object) -> Limits:
    return Limits(
        None
        if timeout is None
        else _limit(name, "timeout", timeout, durations.seconds),
        None if memory is None else _limit(name, "memory", memory, durations.size),
    )


def _limit(name: str, what: str, value: object, read: Callable[[object], N]) -> N:
    try:
        return read(value)
    except ValueError as error:
        raise JobClassError(f"{name}: {what} {value!r}: {error}") from None


@contextmanager
def temporary_job(name: str) -> Iterator[None]:
    """Have a job of this name that does nothing, for as long as the block lasts."""
    nothing: Job[[], None] = Job(lambda: None, queue=None, name=name)
    _declared[name] = nothing
    try:
        yield
    finally:
        del _declared[name]


def _declare(name: str, target: DeclaredJob | type) -> None:
    taken = _declared.get(name)
    # The same place again is a module that was reloaded.
    if taken is not None and _place(taken) != _place(target):
        raise JobClassError(
            f"job name {name!r} of {_place(target)} is taken by {_place(taken)}"
        )
    _declared[name] = target


def _place(target: DeclaredJob | type) -> str:
    qualname = getattr(target, "__qualname__", "?")
    return f"{getattr(target, '__module__', '?')}.{qualname}"


def resolve(name: str, modules: Collection[str]) -> tuple[Callable[..., Any], Limits]:
    """Return what runs the job that a payload names, and the limits it declares.

    `modules` are those of the application; nothing is imported. Raises
    JobClassError for anything that was not declared.
    """
    found = _declared.get(name) or _look_up(name, modules)
    if found is None:
        known = ", ".join(modules) or "none"
        raise JobClassError(
            f"{shown_name(name)} is not a job of this application"
            f" (its modules: {known})"
        )
    if isinstance(found, Job):
        return found.function, found.limits
    return target_of(found), limits_of(found)


def parameters(target: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of what resolve answers, if they have any."""
    try:
        return list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return []  # not written in Python


def _look_up(name: str, modules: Collection[str]) -> DeclaredJob | type | None:
    """Walk from an imported module of the application to a class with perform."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if module in sys.modules and _is_within(module, modules):
            return _member(sys.modules[module], parts[length:], modules)
    return None


def _member(
    place: object, names: list[str], modules: Collection[str]
) -> DeclaredJob | type | None:
    for name in names:
        # Only what is written in the namespace: no properties, no __class__.
        place = vars(place).get(name) if hasattr(place, "__dict__") else None
        if name.startswith("__") or place is None:
            return None
    if isinstance(place, Job):
        return place
    if isinstance(place, type) and hasattr(place, "perform"):
        # A class that the module merely imported is not the application's.
        return place if _is_within(place.__module__, modules) else None
    return None


def classes_with_hooks(modules: Collection[str]) -> dict[str, list[str]]:
    """Return the job classes with methods that Ruby Resque would call, by name.

    Looks at declared classes, and at those with `perform` in the modules of the
    application that are imported. The values are the names of the methods.
    """
    found = [job for job in _declared.values() if isinstance(job, type)]
    for name, module in sorted(sys.modules.items()):
        if _is_within(name, modules):
            members = [v for v in vars(module).values() if isinstance(v, type)]
            found += [v for v in members if v.__module__ == name]
    return {
        f"{job.__module__}.{job.__qualname__}": hooks
        for job in found
        if callable(getattr(job, "perform", None)) and (hooks := _hooks(job))
    }


def _hooks(job: type) -> list[str]:
    return [
        name
        for name in sorted(dir(job))
        if any(name == hook or name.startswith(f"{hook}_") for hook in _HOOKS)
        and callable(getattr(job, name, None))
    ]


def _is_within(module: str, modules: Collection[str]) -> bool:
    return any(module == m or module.startswith(f"{m}.") for m in modules)


def least_memory() -> int:
    """Return the least memory, in bytes, that any declared job is limited to; or 0."""
    every = (limits_of(found).memory for found in _declared.values())
    return min((memory for memory in every if memory), default=0)


def declared() -> list[str]:
    """Return the names of all declared jobs, sorted."""
    return sorted(_declared)
