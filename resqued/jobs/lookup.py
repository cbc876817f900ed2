"""Finding the job that a payload names, and other questions about declared jobs.

Only what was declared is ever run: a job registered under its name, or a class
with `perform` in a module of the application. A payload never causes an import.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any, TypeAlias, cast

from resqued.core.limits import Limits
from resqued.core.worker_death import DeathRule
from resqued.errors import JobClassError
from resqued.hooks.job_hooks import Hooks, hooks_of
from resqued.jobs.declare import DECLARED, Job
from resqued.retries.declared import own_death_rule, own_retry
from resqued.retries.policy import Retry, RetryRules
from resqued.wire.naming import DeclaredJob, limits_of, target_of, wire_name
from resqued.wire.payload import PAYLOAD_ERROR, shown_name


def resolve(
    name: str, modules: Collection[str]
) -> tuple[Callable[..., Any], Limits, Hooks | None]:
    """Return what runs the job that a payload names, its own limits, and its hooks.

    `modules` are those of the application; nothing is imported. Raises
    JobClassError for anything that was not declared.
    """
    found = DECLARED.get(name) or _look_up(name, modules)
    if found is None:
        known = ", ".join(modules) or "none"
        raise JobClassError(
            f"{shown_name(name)} is not a job of this application"
            f" (its modules: {known})"
        )
    if isinstance(found, Job):
        return found.function, found.limits, found.all_hooks
    return target_of(found), limits_of(found), hooks_of(found)


def declared_queue(name: str, modules: Collection[str]) -> str:
    """Return the queue that a job of the application declares; "" without one."""
    found = DECLARED.get(name) or _look_up(name, modules)
    queue = getattr(found, "queue", None)
    return queue if isinstance(queue, str) else ""


def retry_of(
    queue: str, name: str, modules: Collection[str], rules: RetryRules
) -> Retry | None:
    """Return the retry of a job: its own, or that of the configuration, if any."""
    if name == PAYLOAD_ERROR:
        return None
    found = DECLARED.get(name) or _look_up(name, modules)
    declared = None
    # What is wrong is in the log already, by `find_hooks`; the job runs without it.
    with suppress(JobClassError):
        declared = None if found is None else own_retry(found)
    return rules.of(queue, name, declared)


def declared_deaths(modules: Collection[str]) -> dict[str, DeathRule]:
    """Return what jobs declare for the death of their workers, by their names."""
    found: dict[str, DeathRule] = {}
    for job in (*_classes_of(modules), *DECLARED.values()):
        # What is wrong is in the log already, by `find_hooks`.
        with suppress(JobClassError):
            if rule := own_death_rule(job):
                found[wire_name(job)] = rule
    return found


def has_jobs(modules: Collection[str]) -> bool:
    """Return True if the imported application has a job: declared, or with perform."""
    return bool(DECLARED) or any(
        _has_method(found, "perform") for found in _classes_of(modules)
    )


def classes_with_perform(modules: Collection[str]) -> list[type]:
    """Return the classes of the application that are jobs, in its imported modules."""
    return [c for c in _classes_of(modules) if _has_method(c, "perform")]


def parameters(target: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of what resolve answers, if they have any."""
    try:
        return list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return []  # not written in Python


# An attribute of an object of the application may run its code: a metaclass raises, a
# lazy object evaluates itself, even for isinstance. From here on none of that code is
# run: workers look jobs up too, and must not die of it.


Names: TypeAlias = Callable[[object], Mapping[str, object]]

_names_in_module: Names = vars(ModuleType)["__dict__"].__get__
_names_in_class: Names = vars(type)["__dict__"].__get__
_mro_of: Callable[[object], tuple[type, ...]] = vars(type)["__mro__"].__get__


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
        place = _namespace(place).get(name)
        if name.startswith("__") or place is None:
            return None
    if issubclass(type(place), Job):
        return cast("DeclaredJob", place)
    if not issubclass(type(place), type):
        return None
    found = cast("type", place)
    # A class that the module merely imported is not the application's.
    if not _is_within(_module_of(found), modules):
        return None
    for part in _mro_of(found):
        if "perform" in _names_in_class(part):
            return found
    return None


def _namespace(place: object) -> Mapping[str, object]:
    """Return the names in a module or in a class; of anything else, none."""
    kind = type(place)
    if issubclass(kind, type):
        return _names_in_class(place)
    return _names_in_module(place) if issubclass(kind, ModuleType) else {}


def find_hooks(modules: Collection[str]) -> list[str]:
    """Find the hooks of all jobs, and return what is wrong with some of them.

    Looks at declared jobs, and at classes with `perform` in the modules of the
    application that are imported. Children then find them in memory.
    """
    for job in DECLARED.values():
        if isinstance(job, Job):
            job.all_hooks = hooks_of(job)
    declared = [job for job in DECLARED.values() if isinstance(job, type)]
    wrong: list[str] = []
    for job in (*declared, *_classes_of(modules)):
        if _has_method(job, "perform"):
            try:
                hooks_of(job)
                own_death_rule(job)
            except JobClassError as error:
                wrong.append(str(error))
    return wrong


def _classes_of(modules: Collection[str]) -> Iterator[type]:
    """Yield the classes of the application in its imported modules, by module name."""
    for name, module in sorted(sys.modules.items()):
        if _is_within(name, modules):
            # None, or an object of the application, may stand for a module.
            for member in list(_namespace(module).values()):
                found = cast("type", member)
                is_class = issubclass(type(member), type)
                if is_class and _is_within(_module_of(found), modules):
                    yield found


def _module_of(found: type) -> str:
    try:
        module = type.__dict__["__module__"].__get__(found)
    except AttributeError:  # the application has deleted it
        return ""
    return module if isinstance(module, str) else ""


def _has_method(found: type, name: str) -> bool:
    member = inspect.getattr_static(found, name, None)
    return callable(member) or isinstance(member, staticmethod | classmethod)


def _is_within(module: str, modules: Collection[str]) -> bool:
    return any(module == m or module.startswith(f"{m}.") for m in modules)
