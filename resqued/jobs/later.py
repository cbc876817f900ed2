"""Methods of objects as jobs: `resqued.later(account).send_invoice(42)`.

`allow_later` declares a job for each method that may be called so, and for functions
that stay plain. The job of a method is named by the path of the method; its arguments
are the id of the object and those of the method. What runs it finds the object by its
id, and calls the method. A payload can name declared methods and nothing else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, NoReturn, ParamSpec, TypeVar, cast, overload

from resqued.client import Client, default_client
from resqued.core.durations import Duration
from resqued.errors import ArgumentError, JobClassError
from resqued.hooks.coroutines import refuse_generators
from resqued.jobs.declare import Job
from resqued.jobs.declare import job as declare_job
from resqued.jobs.finding import Finder, Session, Ways, finder_of
from resqued.wire import ruby_json
from resqued.wire.naming import dotted_path, queue_of

P = ParamSpec("P")
T = TypeVar("T", bound=Callable[..., Any])

_MARK = "__resqued_later__"

# Filled when modules are imported, as decorators must; only read afterwards.
_CLASSES: dict[type, tuple[Finder, dict[str, Job[..., Any]]]] = {}
_FUNCTIONS: dict[Callable[..., Any], Job[..., Any]] = {}


class Later:
    """An object whose declared methods are enqueued when they are called."""

    def __init__(self, target: object, enqueue: Callable[..., bool]) -> None:
        self.__target = target
        self.__enqueue = enqueue

    def __getattr__(self, name: str) -> Callable[..., bool]:
        """Return what enqueues the method; raise JobClassError if it is not allowed."""
        if name.startswith("__"):  # asked for by Python itself, as in copies
            raise AttributeError(name)
        job, identity = _job_of_method(self.__target, name)
        return functools.partial(self.__enqueue, job, identity)

    def __call__(self, *_args: object, **_options: object) -> NoReturn:
        """Raise JobClassError: the target is not a function of the application."""
        raise JobClassError(
            f"{self.__target!r:.200} is no function that can be called later: give a"
            " function of a module, or an object and the name of its method"
        )


@overload
def later(  # type: ignore[overload-overlap]
    target: Callable[P, object],
    /,
    *,
    queue: str | None = None,
    delay: Duration | None = None,
    at: datetime | None = None,
    client: Client | None = None,
) -> Callable[P, bool]: ...
@overload
def later(
    target: object,
    /,
    *,
    queue: str | None = None,
    delay: Duration | None = None,
    at: datetime | None = None,
    client: Client | None = None,
) -> Later: ...
def later(
    target: Any,
    /,
    *,
    queue: str | None = None,
    delay: Duration | None = None,
    at: datetime | None = None,
    client: Client | None = None,
) -> Any:
    """Return what puts calls of methods, or of a function, on a queue.

    `later(account).send_invoice(42)` enqueues the call of a method that `allow_later`
    has declared; `later(account.send_invoice)(42)` is the same, for type checkers;
    `later(crop)("a.jpg")` is for a function. Each returns what `enqueue` returns.
    `queue` goes before the one that was declared. `delay`, such as "10m", or `at`, with
    a time zone, has the call wait. `client` is the default client if it is not given.
    Raises JobClassError for a method that is not declared, ArgumentError for an object
    without an id, for both of `delay` and `at`, and for arguments that do not fit, and
    what `enqueue` raises.
    """
    if delay is not None and at is not None:
        raise ArgumentError("later takes delay or at, and one of them")

    def enqueue(job: Job[..., Any], /, *args: Any, **kwargs: Any) -> bool:
        by = client or default_client()
        name = queue_of(job) if queue is None else queue
        if at is not None:
            return by.enqueue_at_with_queue(name, at, job, *args, **kwargs)
        if delay is not None:
            return by.enqueue_in_with_queue(name, delay, job, *args, **kwargs)
        return by.enqueue_to(name, job, *args, **kwargs)

    if inspect.ismethod(target):
        job, identity = _job_of_method(target.__self__, target.__name__)
        return functools.partial(enqueue, job, identity)
    if inspect.isfunction(target) or isinstance(target, Job):
        return functools.partial(enqueue, _job_of_function(target))
    return Later(target, enqueue)


def _job_of_function(function: Any) -> Job[..., Any]:
    job = function if isinstance(function, Job) else _FUNCTIONS.get(function)
    if job is None:
        path = f"{function.__module__}.{function.__qualname__}"
        if _is_in_class(function):
            raise JobClassError(
                f"{path} is a method: later takes its object, as in"
                f" later(account).{function.__name__}(…)"
            )
        raise JobClassError(
            f"function {path} may not be called later: allow it by"
            f" resqued.allow_later({function.__name__}, queue=…) in its module"
        )
    return job


def _job_of_method(target: object, name: str) -> tuple[Job[..., Any], object]:
    """Return the job of a method of an object, and the id of the object."""
    # A lazy object, such as the user of a request in Django, gives that of its object.
    owner = target.__class__
    path = f"{owner.__module__}.{owner.__qualname__}"
    if isinstance(target, type):
        raise JobClassError(f"later takes an object, and not the class {target!r}")
    if owner not in _CLASSES:
        raise JobClassError(
            f"methods of {path} may not be called later: declare the class by"
            " @resqued.allow_later(methods=…, queue=…)"
        )
    finder, jobs = _CLASSES[owner]
    if name not in jobs:
        raise JobClassError(
            f"{path}.{name} may not be called later: only {', '.join(jobs)} may"
        )
    identity = finder.identity(target)
    if identity is None:
        raise ArgumentError(f"{path}: the object has no id yet: save it first")
    try:
        ruby_json.encode(identity, "the id of the object")
    except ruby_json.Unencodable as error:
        raise ArgumentError(
            f"{path}: {error}; let identity= of allow_later return that, and find="
            " take it"
        ) from None
    return jobs[name], identity


@overload
def allow_later(target: T, /, **options: Any) -> T: ...
@overload
def allow_later(
    *,
    methods: Collection[str] = (),
    find: Callable[[Any], Any] | None = None,
    identity: Callable[[Any], object] | None = None,
    session: Session | None = None,
    **options: Any,
) -> Callable[[T], T]: ...
def allow_later(
    target: Any = None,
    /,
    *,
    methods: Collection[str] = (),
    find: Callable[[Any], Any] | None = None,
    identity: Callable[[Any], object] | None = None,
    session: Session | None = None,
    **options: Any,
) -> Any:
    """Declare what `later` may call: methods of a class, or a function.

    Of a class, `methods` may be called, and those that are marked by
    `@resqued.allow_later` themselves. A worker finds the object by `find`, which gets
    its id; by default by the class method `find`. `identity` gets the object and
    returns its id, by default the attribute `id`. Models of Django need neither, nor do
    those of SQLAlchemy with `session`, their sessionmaker. `options` are those of
    `resqued.job`, such as `queue` and `timeout`; those of a marked method go before
    those of its class. Target is returned as it is, so that this is a decorator too.

    Raises JobClassError for a class that has no way to find its objects, and for what
    cannot be a job, such as a private method.
    """
    allow = functools.partial(_allow, methods, (find, identity, session), options)
    return allow if target is None else allow(target)


def _allow(
    methods: Collection[str], ways: Ways, options: dict[str, Any], target: Any
) -> Any:
    """Declare what may be called of target, and return it."""
    if isinstance(target, type):
        finder = finder_of(target, *ways)
        _CLASSES[target] = finder, _jobs_of(target, methods, finder, options)
    elif not inspect.isfunction(target):
        raise JobClassError(f"{target!r} may not be called later: it is no function")
    elif _is_in_class(target):
        setattr(target, _MARK, options)
    else:
        _check_name(dotted_path(target), target.__name__)
        _FUNCTIONS[target] = declare_job(**options)(target)
    return target


def _is_in_class(function: Callable[..., Any]) -> bool:
    return "." in function.__qualname__.rpartition("<locals>.")[2]


def _jobs_of(
    owner: type, methods: Collection[str], finder: Finder, options: dict[str, Any]
) -> dict[str, Job[..., Any]]:
    """Declare the job of each method that may be called, and return them by name."""
    path = dotted_path(owner)
    if isinstance(methods, str):
        raise JobClassError(f"{path}: methods is the text {methods!r}, and no list")
    marked = [name for name in dir(owner) if _options_of(owner, name) is not None]
    if not (names := [*dict.fromkeys((*methods, *marked))]):
        raise JobClassError(
            f"{path} has no methods to be called later: give methods=, or mark them by"
            " @resqued.allow_later"
        )
    jobs: dict[str, Job[..., Any]] = {}
    for name in names:
        _check_name(f"{path}.{name}", name)
        if not inspect.isfunction(method := inspect.getattr_static(owner, name, None)):
            raise JobClassError(f"{path}.{name} is no method of an object")
        own = options | (_options_of(owner, name) or {})
        function = _by_identity(method, f"{path}.{name}", finder)
        jobs[name] = declare_job(**{"name": f"{path}.{name}", **own})(function)
    return jobs


def _options_of(owner: type, name: str) -> dict[str, Any] | None:
    """Return the options that a method was marked with; None for one without."""
    member = inspect.getattr_static(owner, name, None)
    return vars(member).get(_MARK) if inspect.isfunction(member) else None


def _check_name(path: str, name: str) -> None:
    if name.startswith("_"):
        raise JobClassError(f"{path} may not be called later: its name is private")


def _by_identity(
    method: Callable[..., Any], path: str, finder: Finder
) -> Callable[..., Any]:
    """Return a function that finds an object and calls its method."""
    refuse_generators(path, method)
    name = method.__name__

    def call(identity: Any, *args: Any) -> Any:
        with finder.found(identity) as target:
            return getattr(target, name)(*args)

    async def call_async(identity: Any, *args: Any) -> Any:
        with finder.found(identity) as target:
            return await getattr(target, name)(*args)

    function: Any = call_async if inspect.iscoroutinefunction(method) else call
    functools.update_wrapper(function, method)
    first, *others = inspect.signature(method).parameters.values()
    id_first = first.replace(
        name="object_id",
        kind=first.POSITIONAL_ONLY,
        annotation=Any,
        default=first.empty,
    )
    function.__signature__ = inspect.Signature([id_first, *others])
    # The method takes no id, so it is not what is called.
    del function.__wrapped__
    return cast("Callable[..., Any]", function)
