"""Jobs that an application declares, and finding the one that a payload names.

Only what was declared is ever run: a job registered under its name, or a class
with `perform` in a module of the application. A payload never causes an import.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar, overload

from resqued.client import enqueue, enqueue_to
from resqued.core import durations
from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError
from resqued.wire.naming import (
    LIMITS_ATTRIBUTE,
    NAME_ATTRIBUTE,
    QUEUE_ATTRIBUTE,
    DeclaredJob,
    dotted_path,
    limits_of,
    target_of,
)

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# Filled when modules are imported, as decorators must; only read afterwards.
_declared: dict[str, DeclaredJob | type] = {}


class Job(Generic[P, R]):
    """A function that can be enqueued; calling it runs it here and now."""

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
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<resqued job {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as if it were no job."""
        return self.function(*args, **kwargs)

    def perform(self, *args: Any) -> Any:
        """Run the job with the arguments of a payload."""
        return self.function(*args)  # type: ignore[call-arg]

    def enqueue(self, *args: Any) -> bool:
        """Put the job on its queue, through the default client."""
        return enqueue(self, *args)

    def enqueue_to(self, queue: str, *args: Any) -> bool:
        """Put the job on another queue, through the default client."""
        return enqueue_to(queue, self, *args)

    def limited(self, *, timeout: object = None, memory: object = None) -> Job[P, R]:
        """Return the job with limits for what is enqueued through the answer alone.

        They go with the payload, and win over all others: `timeout` is how long it
        may run, as 90, "15m" or "2h", `memory` what it may use, as "512M".
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
    """What `resqued.job(…)` answers: turns a function or a class into a job."""

    def __init__(
        self, queue: str | None, name: str | None, timeout: object, memory: object
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
            target_of(target)
            _declare(name, target)
            return target
        made: Job[..., Any] = Job(
            target, queue=self._queue, name=name, limits=self._limits
        )
        _declare(name, made)
        return made


def job(
    *,
    queue: str | None = None,
    name: str | None = None,
    timeout: object = None,
    memory: object = None,
) -> Decorator:
    """Declare a job: a function, or a class with `perform`.

    `name` is the class name on the wire, where Ruby or Node must find it too; by
    default the dotted path. `timeout` is how long it may run, as 90, "15m" or
    "2h"; `memory` what its processes may use, as "512M"; 0 means without limit.
    Raises JobClassError if the name is taken, or a limit is none.
    """
    return Decorator(queue, name, timeout, memory)


def _limits(name: str, timeout: object, memory: object) -> Limits:
    try:
        return Limits(
            None if timeout is None else durations.seconds(timeout),
            None if memory is None else durations.size(memory),
        )
    except ValueError as error:
        raise JobClassError(
            f"{name}: timeout {timeout!r}, memory {memory!r}: {error}"
        ) from None


@contextmanager
def temporary_job(name: str) -> Iterator[None]:
    """Have a job of this name that does nothing, for as long as the block lasts."""
    _declared[name] = Job(lambda: None, queue=None, name=name)
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
            f"{name} is not a job of this application (its modules: {known})"
        )
    if isinstance(found, Job):
        return found.perform, found.limits
    return target_of(found), limits_of(found)


def parameters(target: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of what resolve answers, if they have any."""
    owner = getattr(target, "__self__", None)
    function = owner.function if isinstance(owner, Job) else target
    try:
        return list(inspect.signature(function).parameters)
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


def _is_within(module: str, modules: Collection[str]) -> bool:
    return any(module == m or module.startswith(f"{m}.") for m in modules)


def least_memory() -> int:
    """Return the least memory, in bytes, that any declared job is limited to; or 0."""
    every = (limits_of(found).memory for found in _declared.values())
    return min((memory for memory in every if memory), default=0)


def declared() -> list[str]:
    """Return the names of all declared jobs, sorted."""
    return sorted(_declared)
