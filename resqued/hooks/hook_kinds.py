"""The hooks that an application registers for all jobs, and for workers.

Filled when modules are imported, as decorators must; only read afterwards. The zygote
imports the application, so its workers and their children have the hooks in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from resqued.errors import JobClassError

H = TypeVar("H", bound=Callable[..., Any])

JOB_HOOKS = (
    *("before_enqueue", "after_enqueue", "before_dequeue", "after_dequeue"),
    *("before_schedule", "after_schedule"),
    *("before_perform", "around_perform", "after_perform", "on_failure"),
)
WORKER_HOOKS = (
    *("before_first_fork", "before_fork", "after_fork", "queue_empty"),
    *("before_pause", "after_pause", "shutdown", "worker_exit"),
)

# The functions of each kind, in order of registration. A kind without one is not here.
REGISTERED: dict[str, list[Callable[..., Any]]] = {}


def register(kind: str, hook: H) -> H:
    """Add a hook that runs for all jobs, or in workers, once; return it.

    Raises JobClassError for what cannot be a hook of this kind.
    """
    check_hook(kind, hook, place_of(hook))
    hooks = REGISTERED.setdefault(kind, [])
    # A plugin that two modules register must not count or lock twice.
    if hook not in hooks:
        hooks.append(hook)
    return hook


def kind_of(name: str, kinds: tuple[str, ...] = JOB_HOOKS) -> str:
    """Return the kind of hook that a method of this name is; "" if it is none.

    That is the kind itself, or the kind and a suffix: `before_perform_check`.
    """
    for kind in kinds:
        if name == kind or name.startswith(f"{kind}_"):
            return kind
    return ""


def check_hook(kind: str, hook: object, name: str) -> None:
    """Raise JobClassError for what cannot be a hook of this kind.

    A hook is a function. Only `around_perform` may be a generator function: the call
    of one runs nothing. None may be `async def`: a hook has no event loop.
    """
    if not callable(hook):
        raise JobClassError(f"{kind} {name} is not a function")
    if inspect.iscoroutinefunction(hook) or inspect.isasyncgenfunction(hook):
        raise JobClassError(
            f"{kind} {name} is async def, and a hook has no event loop: write def"
        )
    if inspect.isgeneratorfunction(hook) and kind != "around_perform":
        raise JobClassError(
            f"{kind} {name} is a generator, whose call runs nothing: only"
            " around_perform may have yield"
        )


def place_of(hook: object) -> str:
    """Return the name of a hook for people: its module and its name there."""
    module, name = (getattr(hook, a, "") for a in ("__module__", "__qualname__"))
    return f"{module}.{name}" if module and name else repr(hook)
