"""The hooks of one job: those for all jobs, then its own.

A job class has them as methods, its own and inherited ones: first the one that is
named as its kind, then those with a suffix, in the order of the text. A function has
those that were registered with it. Runs in producers and children; the zygote finds
the hooks of all jobs before the first fork.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, NamedTuple

from resqued.errors import JobClassError
from resqued.hooks.hook_kinds import (
    JOB_HOOKS,
    REGISTERED,
    WORKER_HOOKS,
    check_hook,
    kind_of,
    place_of,
)
from resqued.hooks.job_info import JobInfo


class Hook(NamedTuple):
    """One hook: what to call, its name for people, and what it gets.

    A hook for all jobs gets the job, because each job has other arguments; a hook of
    one job gets the arguments.
    """

    call: Callable[..., Any]
    name: str
    gets_job: bool = False

    def begin(self, job: JobInfo, *first: object) -> Any:
        """Call the hook with what `first` holds, and the job or its arguments."""
        if self.gets_job:
            return self.call(*first, job)
        return self.call(*first, *job.args)

    def run(self, job: JobInfo, *first: object) -> Any:
        """Do as `begin`; raise JobClassError if that has run none of the hook's code.

        The declaration of such a hook does not show it: it is an object with an
        `async def __call__`, or a generator behind a decorator.
        """
        return self.checked(self.begin(job, *first))

    def checked(self, found: Any) -> Any:
        """Return what the hook has returned; raise JobClassError if it has not run."""
        if not isinstance(found, CoroutineType | GeneratorType | AsyncGeneratorType):
            return found
        if isinstance(found, CoroutineType):
            found.close()
        raise JobClassError(
            f"{self.name} returned a {type(found).__name__}, of which nothing ran:"
            " write it as a plain function"
        )


Hooks = Mapping[str, tuple[Hook, ...]]


def hooks_of(job: object) -> Hooks | None:
    """Return the hooks of a job by kind, or None if it has none at all.

    A job that is known by its name alone has those for all jobs. Raises JobClassError
    for a method that needs an instance of the class.
    """
    if isinstance(job, type):
        own = _hooks_of_class(job)
    else:
        own = getattr(job, "hooks", None) or {}
    if not REGISTERED:
        return own or None
    every = {k: (*registered(k), *own.get(k, ())) for k in JOB_HOOKS}
    return {kind: hooks for kind, hooks in every.items() if hooks} or None


def registered(kind: str) -> tuple[Hook, ...]:
    """Return the hooks of a kind that were registered for all jobs, or for workers."""
    return tuple(Hook(hook, place_of(hook), True) for hook in REGISTERED.get(kind, ()))


# As long as the application lives, as its classes do; those that it makes meanwhile
# must not be kept for ever.
@lru_cache(maxsize=1024)
def _hooks_of_class(job: type) -> Hooks:
    found: dict[str, list[Hook]] = {}
    for name in sorted({name for part in type.mro(job) for name in vars(part)}):
        kind = kind_of(name)
        member = inspect.getattr_static(job, name, None)
        if not kind or not _is_method(member):
            continue
        place = f"{job.__module__}.{job.__qualname__}.{name}"
        if not isinstance(member, staticmethod | classmethod):
            raise JobClassError(
                f"{place} must be a staticmethod or a classmethod: a job has no self"
            )
        call = getattr(job, name)
        check_hook(kind, call, place)
        found.setdefault(kind, []).append(Hook(call, place))
    return {kind: tuple(hooks) for kind, hooks in found.items()}


def _is_method(member: object) -> bool:
    return callable(member) or isinstance(member, staticmethod | classmethod)


def hooks_of_plugin(plugin: object) -> dict[str, list[Hook]]:
    """Return the hooks that an object has as methods, of jobs and of workers, by kind.

    Raises JobClassError if it has none, or if it is a class whose method needs an
    object.
    """
    found: dict[str, list[Hook]] = {}
    owner = plugin if isinstance(plugin, type) else type(plugin)
    for name in sorted(name for name in dir(plugin) if name[:1] != "_"):
        kind = kind_of(name, (*JOB_HOOKS, *WORKER_HOOKS))
        member = inspect.getattr_static(plugin, name, None)
        if kind and _is_method(member):
            call = getattr(plugin, name)
            place = f"{owner.__qualname__}.{name}"
            if owner is plugin and not isinstance(member, staticmethod | classmethod):
                raise JobClassError(
                    f"{place} needs an object: give {owner.__qualname__}() in place of"
                    " the class"
                )
            check_hook(kind, call, place)
            found.setdefault(kind, []).append(Hook(call, place))
    if not found:
        raise JobClassError(f"plugin {plugin!r} has no method such as around_perform")
    return found
