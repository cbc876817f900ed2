"""Jobs that an application declares: the decorator, and what it makes of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

from resqued.client import default_client
from resqued.core import durations
from resqued.core.durations import Duration, Size
from resqued.core.limits import UNSET, Limits
from resqued.errors import JobClassError, QueueNameError
from resqued.hooks.coroutines import refuse_generators
from resqued.hooks.function_hooks import FunctionHooks, HookArguments, taken
from resqued.hooks.job_hooks import hooks_of
from resqued.jobs import refusals
from resqued.retries.declared import (
    DEATH_ATTRIBUTE,
    OnWorkerDeath,
    check_action,
    own_death_rule,
    own_retry,
    retry_named,
)
from resqued.retries.policy import Retry, RetryArgument
from resqued.wire import arguments
from resqued.wire.naming import (
    DeclaredJob,
    check_queue,
    dotted_path,
    limits_of,
    mark,
    target_of,
)

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)
N = TypeVar("N", int, float)

# Filled when modules are imported, as decorators must; only read afterwards.
DECLARED: dict[str, DeclaredJob | type] = {}


class Job(FunctionHooks[P], Generic[P, R]):
    """A function that can be enqueued; calling it runs it here and now.

    `resqued.job` makes it. `function` is the function that was decorated, `name` the
    class name in payloads, and `queue` its queue, or None. `limits` are those that
    were declared, `asked` those of `limited`: each has `runtime` in seconds and
    `memory` in bytes, 0 for without limit and None for not given. `hooks` are the hooks
    of this job, and `retry` says when it is tried again.
    """

    # What update_wrapper takes over from the function.
    __name__: str
    __qualname__: str

    def __init__(  # noqa: PLR0913 - what a job has
        self,
        function: Callable[P, R],
        *,
        queue: str | None,
        name: str,
        limits: Limits = UNSET,
        asked: Limits = UNSET,
        retry: Retry | None = None,
        on_worker_death: str | None = None,
    ) -> None:
        super().__init__()
        self.function = function
        self.queue = queue
        self.name = name
        self.limits = limits
        self.asked = asked
        self.retry = retry
        self.on_worker_death = on_worker_death
        # Not the attributes of the function, which could be called as ours are.
        update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<resqued job {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Let pickle find the job by its name, as it finds a function."""
        if self.asked == UNSET:
            return self.__qualname__
        return Job._asking, (DECLARED.get(self.name), self.asked)

    def __get__(self, instance: object, owner: type | None = None) -> Job[P, R]:
        """Stay a job as an attribute of a class. With this, help() has a signature."""
        return self

    if not TYPE_CHECKING:  # a type checker would take it for every attribute

        def __getattr__(self, name: str) -> Any:
            # Without a name it is only half made, by copy or pickle.
            raise refusals.attribute(self.__dict__.get("name", "?"), name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, as if it were no job."""
        return self.function(*args, **kwargs)

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the job with the arguments of a payload."""
        return self.function(*args, **kwargs)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Put the job on its queue, by the default client; True when Redis has it.

        Keyword arguments are put at their position, because a payload has positions
        alone; a parameter left out before one of them gets its default. Raises
        ArgumentError if the arguments do not fit the function or JSON cannot hold
        one, JobClassError if the job has no queue, and StoreError if Redis did not
        confirm the job: it may be on the queue all the same.
        """
        return default_client().enqueue(self, *args, **kwargs)

    def enqueue_to(self, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Put the job on the queue that is named; return True when Redis has it.

        Raises what enqueue raises, and QueueNameError if the queue is empty, not a str,
        or no plain name (`a,b`, `*`).
        """
        return default_client().enqueue_to(queue, self, *args, **kwargs)

    def enqueue_in(self, delay: Duration, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Have the job wait for `delay`, and go to its queue then; return True.

        `delay` is in seconds, or a text such as "10m", or a timedelta. Raises what
        enqueue raises, and ArgumentError for a delay that is none.
        """
        return default_client().enqueue_in(delay, self, *args, **kwargs)

    def enqueue_at(self, when: datetime, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Have the job wait until `when`, and go to its queue then; return True.

        Raises what enqueue raises, and ArgumentError for a time without a zone.
        """
        return default_client().enqueue_at(when, self, *args, **kwargs)

    def enqueue_in_with_queue(
        self, queue: str, delay: Duration, /, *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Do as enqueue_in, for the queue that is named."""
        return default_client().enqueue_in_with_queue(
            queue, delay, self, *args, **kwargs
        )

    def enqueue_at_with_queue(
        self, queue: str, when: datetime, /, *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Do as enqueue_at, for the queue that is named."""
        return default_client().enqueue_at_with_queue(
            queue, when, self, *args, **kwargs
        )

    @overload
    def dequeue(self, /) -> int: ...
    @overload
    def dequeue(self, /, *args: P.args, **kwargs: P.kwargs) -> int: ...
    def dequeue(self, /, *args: Any, **kwargs: Any) -> int:
        """Remove the job from its queue; return how many were removed.

        Removes those with exactly these arguments, as they stand in the payload:
        `dequeue(44, "master")` does not remove what `enqueue(44)` put there.
        Without arguments all jobs of this name are removed. Raises ArgumentError if
        keyword arguments do not fit the function, JobClassError if the job has no
        queue, and StoreError.
        """
        if kwargs:
            args = arguments.by_position(self.name, self.function, args, kwargs)
        return default_client().dequeue(self, *args)

    def limited(
        self, *, timeout: Duration | None = None, memory: Size | None = None
    ) -> Job[P, R]:
        """Return a copy of the job, whose enqueue puts these limits into payloads.

        They go before all other limits. `timeout` is how long the job may run, in
        seconds or as "15m"; `memory` what its processes may use, in bytes or as
        "512M". 0 is without limit; what is left out stays as it is in this job.
        Raises JobClassError if a limit is negative or cannot be read.
        """
        return self._asking(_limits(self.name, timeout, memory))

    def _asking(self, asked: Limits) -> Job[P, R]:
        copy = Job(
            self.function,
            queue=self.queue,
            name=self.name,
            limits=self.limits,
            asked=asked.with_fallback(self.asked),
            retry=self.retry,
            on_worker_death=self.on_worker_death,
        )
        copy.hooks = self.hooks
        return copy


class Decorator:
    """What `resqued.job(…)` returns: makes a job of a function or a class."""

    def __init__(
        self,
        queue: str | None,
        name: str | None,
        limits: Limits,
        again: tuple[RetryArgument | None, str | None],
        hooks: HookArguments,
    ) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise JobClassError(f"job name {name!r} is not a text such as 'Archive'")
        try:
            self._queue = queue if queue is None else check_queue(queue)
        except QueueNameError as error:
            raise QueueNameError(f"{name or 'job'}: {error}") from None
        self._name = name
        self._limits = limits
        retry, on_worker_death = again
        self._retry = retry_named(name or "job", retry)
        self._on_worker_death = check_action(name or "job", on_worker_death)
        self._hooks = hooks

    @overload
    def __call__(self, target: C) -> C: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, target: Callable[P, R]) -> Job[P, R]: ...
    def __call__(self, target: Any) -> Any:
        """Declare target, and return the job: the class itself, or a Job."""
        if isinstance(target, Job):
            raise JobClassError(
                f"{target.name} is a job already: for another name or queue decorate"
                " its attribute function"
            )
        if isinstance(target, type):
            name = self._name or dotted_path(target)
            mark(target, name, self._queue, self._limits)
            _check_function(name, target_of(target))
            if self._retry is not None:
                target.retry = self._retry  # type: ignore[attr-defined]
            if self._on_worker_death is not None:
                setattr(target, DEATH_ATTRIBUTE, self._on_worker_death)
            own_death_rule(target)
            own_retry(target)
            if self._hooks:
                raise refusals.hooks_of_class(name, self._hooks)
            hooks_of(target)
            _declare(name, target)
            return target
        function = refusals.function_in(target)
        name = self._name or dotted_path(function)
        _check_function(name, function)
        made: Job[..., Any] = Job(
            function,
            queue=self._queue,
            name=name,
            limits=self._limits,
            retry=self._retry,
            on_worker_death=self._on_worker_death,
        )
        made.add_hooks(self._hooks)
        _declare(name, made)
        return made


@overload
def job(target: C, /) -> C: ...  # type: ignore[overload-overlap]
@overload
def job(target: Callable[P, R], /) -> Job[P, R]: ...
@overload
def job(
    *,
    queue: str | None = None,
    name: str | None = None,
    timeout: Duration | None = None,
    memory: Size | None = None,
    retry: RetryArgument | None = None,
    on_worker_death: OnWorkerDeath | None = None,
    **hooks: Unpack[HookArguments],
) -> Decorator: ...
def job(  # noqa: PLR0913 - what a job has
    target: Any = None,
    /,
    *,
    queue: str | None = None,
    name: str | None = None,
    timeout: Duration | None = None,
    memory: Size | None = None,
    retry: RetryArgument | None = None,
    on_worker_death: OnWorkerDeath | None = None,
    **others: Any,
) -> Any:
    """Declare a job: a function, or a class with a static or class method `perform`.

    A function becomes a Job; a class stays as it is. `queue` is where enqueue puts
    the job. `name` is the class name in payloads, for jobs that Ruby or Node must
    find too; by default it is the dotted path. `timeout` is how long the job may run,
    in seconds or as "15m"; `memory` what its processes may use, in bytes or as
    "512M". 0 is without limit; what is left out comes from the configuration of the
    worker. `retry` says when the job is tried again after a failure: a number, a
    resqued.Retry, or a function of the attempt that has failed, which returns the
    delay. `on_worker_death` says what becomes of it if its worker dies: fail, retry or
    requeue. `@resqued.job` without parentheses declares a job without a queue, for
    enqueue_to. A function takes hooks too, by their kind: `before_perform=check`, or a
    list of them; and `plugins`, a list of objects with methods that are hooks.

    Raises JobClassError if another job has the name, if no worker could import the
    function or call it by position, or if a limit is negative or cannot be read; and
    QueueNameError if the queue is empty, or is a queue list and not a name.
    """
    hooks = taken(others)
    if unknown := others.keys() - hooks.keys():
        raise refusals.keywords(sorted(unknown))
    limits = _limits(name or "job", timeout, memory)
    again = (retry, on_worker_death)
    decorator = Decorator(queue, name, limits, again, hooks)  # type: ignore[arg-type]
    return decorator if target is None else decorator(target)


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
        way_out = ", and 0 is without limit" if str(error) == "negative" else ""
        raise JobClassError(f"{name}: {what} {value!r}: {error}{way_out}") from None


@contextmanager
def temporary_job(name: str) -> Iterator[None]:
    """Have a job of this name that does nothing, for as long as the block lasts."""
    nothing: Job[[], None] = Job(lambda: None, queue=None, name=name)
    DECLARED[name] = nothing
    try:
        yield
    finally:
        del DECLARED[name]


def _declare(name: str, target: DeclaredJob | type) -> None:
    taken = DECLARED.get(name)
    # The same place again is a module that was reloaded.
    if taken is not None and _place(taken) != _place(target):
        raise JobClassError(
            f"job name {name!r} of {_place(target)} is taken by {_place(taken)}"
        )
    DECLARED[name] = target


def _place(target: DeclaredJob | type) -> str:
    qualname = getattr(target, "__qualname__", "?")
    return f"{getattr(target, '__module__', '?')}.{qualname}"


def least_memory() -> int:
    """Return the least memory, in bytes, that any declared job is limited to; or 0."""
    every = (limits_of(found).memory for found in DECLARED.values())
    return min((memory for memory in every if memory), default=0)


def declared() -> list[str]:
    """Return the names of all declared jobs, sorted."""
    return sorted(DECLARED)
