"""Plugins: classes that a job class inherits from, and objects with hooks.

A job class has the hooks of the classes that it inherits from. A job that is a function
takes objects: `@resqued.job(plugins=[Timing()])`. `register` gives an object to all
jobs and workers of the application.
"""

from __future__ import annotations

import inspect

from resqued.errors import JobClassError, LintError
from resqued.hooks.hook_kinds import (
    JOB_HOOKS,
    WORKER_HOOKS,
    check_hook,
    kind_of,
)
from resqued.hooks.hook_kinds import (
    register as register_hook,
)
from resqued.hooks.job_hooks import hooks_of_plugin

__all__ = ["LintError", "lint", "register"]


def register(plugin: object) -> None:
    """Register the methods of an object that are named as hooks, once for all jobs.

    They get what the functions get that `resqued.hook` registers: of jobs a JobInfo.
    Raises JobClassError if there is none, or if one cannot be a hook.
    """
    for kind, hooks in hooks_of_plugin(plugin).items():
        for hook in hooks:
            register_hook(kind, hook.call)


def lint(plugin: object) -> None:
    """Check that the hooks of a plugin cannot collide with others.

    Each must have a suffix, as in `before_perform_timing`: a job class that defines
    `before_perform` itself would replace one without. A method of a class must be a
    static or class method. Raises LintError that names the first hook that is wrong.
    """
    owner = plugin if isinstance(plugin, type) else type(plugin)
    for name in sorted(name for name in dir(plugin) if name[:1] != "_"):
        kind = kind_of(name, (*JOB_HOOKS, *WORKER_HOOKS))
        member = inspect.getattr_static(plugin, name, None)
        is_bindable = isinstance(member, staticmethod | classmethod)
        if not kind or not (callable(member) or is_bindable):
            continue
        place = f"{owner.__qualname__}.{name}"
        if name in (kind, f"{kind}_"):
            raise LintError(f"{place} is not namespaced: name it {kind}_ and a suffix")
        if owner is plugin and not is_bindable:
            raise LintError(
                f"{place} must be a staticmethod or a classmethod: a job has no self"
            )
        try:
            check_hook(kind, getattr(plugin, name), place)
        except JobClassError as error:
            raise LintError(str(error)) from None
