"""The hooks of a job that is a function: given to its decorator, or by its methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypedDict, TypeVar

from resqued.errors import JobClassError
from resqued.hooks.hook_kinds import JOB_HOOKS, check_hook, place_of
from resqued.hooks.job_hooks import Hook, Hooks, hooks_of_plugin

P = ParamSpec("P")
V = TypeVar("V")
A = TypeVar("A", bound=Iterator[Any] | AbstractContextManager[Any])
E = TypeVar("E", bound=BaseException)

AnyHook: TypeAlias = Callable[..., Any] | Sequence[Callable[..., Any]]


class HookArguments(TypedDict, total=False):
    """The hooks that `resqued.job` takes by keyword: one of a kind, or several."""

    before_enqueue: AnyHook
    after_enqueue: AnyHook
    before_dequeue: AnyHook
    after_dequeue: AnyHook
    before_schedule: AnyHook
    after_schedule: AnyHook
    before_perform: AnyHook
    around_perform: AnyHook
    after_perform: AnyHook
    on_failure: AnyHook
    # Objects with methods that are named as hooks.
    plugins: Sequence[object]


def taken(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that are hooks."""
    return {key: given[key] for key in (*JOB_HOOKS, "plugins") if key in given}


class FunctionHooks(Generic[P]):
    """The hooks of a job, and the decorators that add to them.

    Each decorator returns the function as it is. Hooks of a kind run in the order in
    which they were added. They get the arguments of the job.
    """

    def __init__(self) -> None:
        self.hooks: dict[str, tuple[Hook, ...]] = {}
        # With those for all jobs; found when the application has been imported.
        self.all_hooks: Hooks | None = None

    def before_enqueue(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function before each enqueue; False leaves the job out."""
        return self._add("before_enqueue", hook)

    def after_enqueue(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function after each enqueue."""
        return self._add("after_enqueue", hook)

    def before_dequeue(self, hook: Callable[..., V]) -> Callable[..., V]:
        """Run a function before each dequeue; False leaves the jobs there."""
        return self._add("before_dequeue", hook)

    def after_dequeue(self, hook: Callable[..., V]) -> Callable[..., V]:
        """Run a function after each dequeue."""
        return self._add("after_dequeue", hook)

    def before_schedule(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function before the job begins to wait for a time; False refuses."""
        return self._add("before_schedule", hook)

    def after_schedule(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function when the job waits for a time."""
        return self._add("after_schedule", hook)

    def before_perform(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function before the job; DontPerform ends the job as a success."""
        return self._add("before_perform", hook)

    def around_perform(self, hook: Callable[P, A]) -> Callable[P, A]:
        """Run the job at the yield of a generator, or within a context manager."""
        return self._add("around_perform", hook)

    def after_perform(self, hook: Callable[P, V]) -> Callable[P, V]:
        """Run a function after the job, unless it has failed."""
        return self._add("after_perform", hook)

    def on_failure(
        self, hook: Callable[Concatenate[E, P], V]
    ) -> Callable[Concatenate[E, P], V]:
        """Run a function after the job has failed; it gets the exception first."""
        return self._add("on_failure", hook)

    def add_hooks(self, given: Mapping[str, Any]) -> None:
        """Add the hooks that were given to the decorator of the job.

        Raises JobClassError for what cannot be one.
        """
        for kind, hooks in given.items():
            if kind == "plugins":
                self._add_plugins(hooks)
                continue
            every = hooks if isinstance(hooks, list | tuple) else (hooks,)
            for hook in every:
                self._add(kind, hook)

    def _add(self, kind: str, hook: V) -> V:
        check_hook(kind, hook, place_of(hook))
        assert callable(hook), "it was checked"
        self._append(kind, Hook(hook, place_of(hook)))
        return hook

    def _add_plugins(self, plugins: Iterable[object]) -> None:
        for plugin in plugins:
            for kind, hooks in hooks_of_plugin(plugin).items():
                if kind not in JOB_HOOKS:
                    raise JobClassError(
                        f"{hooks[0].name} is a hook of workers, not of a job: register"
                        " the plugin with resqued.plugin.register"
                    )
                self._append(kind, *hooks)

    def _append(self, kind: str, *hooks: Hook) -> None:
        self.hooks[kind] = (*self.hooks.get(kind, ()), *hooks)
