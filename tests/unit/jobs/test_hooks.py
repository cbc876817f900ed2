"""Hooks of jobs: which a job has, in which order, and what cannot be one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

import resqued
from resqued.hooks import hook_kinds
from resqued.hooks.hook_kinds import JOB_HOOKS, WORKER_HOOKS
from resqued.hooks.job_hooks import hooks_of
from resqued.hooks.performing import perform, run_on_failure
from resqued.jobs import lookup
from resqued.retries.policy import RetryRules

JOB = resqued.JobInfo("low", "Archive", (44,))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """No hook for all jobs outlives its test."""
    kinds: dict[str, list[Any]] = {}
    monkeypatch.setattr(hook_kinds, "REGISTERED", kinds)
    monkeypatch.setattr("resqued.hooks.job_hooks.REGISTERED", kinds)
    return kinds


@pytest.fixture
def seen() -> list[object]:
    return []


def noting(seen: list[object], name: str, answer: object = None) -> Callable[..., Any]:
    def note(*args: object) -> object:
        seen.append((name, *args))
        return answer

    return note


def client() -> resqued.Client:
    """A client that reaches no server."""
    return resqued.Client("redis://127.0.0.1:1", inline=True)


# Which hooks a job has


class Plugin:
    @classmethod
    def before_perform_m(cls, *_: object) -> None: ...
    @staticmethod
    def before_performance(*_: object) -> None: ...


class Archive(Plugin):
    @staticmethod
    def before_perform_b(*_: object) -> None: ...
    @staticmethod
    def before_perform(*_: object) -> None: ...
    @staticmethod
    def before_perform_Z(*_: object) -> None: ...

    around_perform_x = "no method"

    @staticmethod
    def perform(*_: object) -> None: ...


class Unbound:
    def after_perform(self) -> None: ...
    @staticmethod
    def perform(*_: object) -> None: ...


class Plain:
    @staticmethod
    def perform(*_: object) -> None: ...


def test_a_class_has_those_that_begin_with_the_kind_and_those_inherited() -> None:
    found = hooks_of(Archive)
    assert found is not None
    assert set(found) == {"before_perform"}
    names = [hook.name.rpartition(".")[2] for hook in found["before_perform"]]
    assert names == [
        *("before_perform", "before_perform_Z", "before_perform_b"),
        "before_perform_m",
    ]


def test_a_job_without_any_has_none() -> None:
    assert hooks_of(Plain) is None
    assert hooks_of("Archive") is None


def test_a_method_that_needs_an_instance_is_refused() -> None:
    with pytest.raises(resqued.JobClassError, match=r"Unbound.after_perform must be"):
        hooks_of(Unbound)
    with pytest.raises(resqued.JobClassError, match="a job has no self"):
        resqued.job(name="Unbound", queue="low")(Unbound)


def test_the_zygote_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "DECLARED", {})
    (wrong,) = lookup.find_hooks([__name__])
    assert wrong.startswith(f"{__name__}.Unbound.after_perform must be a staticmethod")
    assert lookup.find_hooks(["elsewhere"]) == []


def test_a_lazy_object_of_the_application_is_not_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """isinstance asks an object for its class; a lazy one would begin its work."""

    class Lazy:
        @property
        def __class__(self) -> type:
            pytest.fail("it was evaluated")

    shop = ModuleType("shop")
    vars(shop).update(request=Lazy())
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setattr(lookup, "DECLARED", {})
    assert lookup.find_hooks(["shop"]) == []
    assert not lookup.has_jobs(["shop"])


@pytest.mark.parametrize("name", ["request", "request.x", "Odd", "Odd.x"])
def test_a_name_in_a_payload_evaluates_no_lazy_object(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Workers look names up too: an exception there would end one after the other."""

    def evaluated(*_: object) -> Any:
        pytest.fail("it was evaluated")

    class Meta(type):
        __getattr__ = __bool__ = evaluated

    class Lazy:
        __class__ = property(evaluated)  # type: ignore[assignment]
        __dict__ = property(evaluated)  # type: ignore[assignment]
        __getattr__ = evaluated

    class Odd(metaclass=Meta):
        retry = Lazy()

        @staticmethod
        def perform() -> None: ...

    Odd.__module__ = "shop"
    shop = ModuleType("shop")
    vars(shop).update(request=Lazy(), Odd=Odd)
    monkeypatch.setitem(sys.modules, "shop", shop)
    assert lookup.retry_of("low", f"shop.{name}", ["shop"], RetryRules()) is None


def test_a_class_with_a_wrong_retry_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zygote says what is wrong; the worker must not die of it."""

    class Wrong:
        retry = -1

        @staticmethod
        def perform() -> None: ...

    Wrong.__module__ = "shop"
    shop = ModuleType("shop")
    vars(shop).update(Wrong=Wrong)
    monkeypatch.setitem(sys.modules, "shop", shop)
    assert lookup.retry_of("low", "shop.Wrong", ["shop"], RetryRules()) is None
    assert any("retry -1 must be" in wrong for wrong in lookup.find_hooks(["shop"]))


def test_a_function_has_those_of_its_decorator_and_of_its_methods(
    seen: list[object],
) -> None:
    class Timing:
        def before_perform_timing(self, *args: object) -> None:
            seen.append(("timing", *args))

    first, second = noting(seen, "first"), noting(seen, "second")

    @resqued.job(
        queue="low",
        name="of function",
        before_perform=[first, second],
        after_perform=noting(seen, "after"),
        plugins=[Timing()],
    )
    def archive(number: int) -> None:
        seen.append(("run", number))

    archive.before_perform(noting(seen, "third"))
    client().enqueue(archive.limited(timeout=5), 44)
    order = ("first", "second", "timing", "third", "run", "after")
    assert seen == [(name, 44) for name in order]


def test_a_class_takes_no_hooks_from_its_decorator() -> None:
    with pytest.raises(resqued.JobClassError, match="in place of before_perform="):
        resqued.job(queue="low", name="No", before_perform=print)(Plain)


@pytest.mark.parametrize("kind", JOB_HOOKS)
def test_what_cannot_be_a_hook_is_refused(kind: str) -> None:
    async def later() -> None: ...

    with pytest.raises(resqued.JobClassError, match=f"{kind} .*later is async def"):
        getattr(resqued.hook, kind)(later)
    with pytest.raises(resqued.JobClassError, match=f"{kind} 5 is not a function"):
        getattr(resqued.hook, kind)(5)

    def generator() -> Iterator[None]:
        yield

    if kind == "around_perform":
        assert resqued.hook.around_perform(generator) is generator  # type: ignore[arg-type]
    else:
        with pytest.raises(resqued.JobClassError, match="is a generator"):
            getattr(resqued.hook, kind)(generator)


def test_every_kind_has_its_decorators() -> None:
    assert sorted(resqued.hook.__all__) == sorted((*JOB_HOOKS, *WORKER_HOOKS))
    assert all(callable(getattr(resqued.Job, kind)) for kind in JOB_HOOKS)


# Hooks for all jobs


def test_hooks_for_all_jobs_come_first_and_get_the_job(seen: list[object]) -> None:
    for kind in ("before_enqueue", "before_perform", "after_perform", "after_enqueue"):
        getattr(resqued.hook, kind)(noting(seen, kind))

    @resqued.job(queue="low", name="of all", before_perform=noting(seen, "own"))
    def archive(number: int, branch: str = "master") -> None:
        seen.append(resqued.current_job())

    assert client().enqueue(archive, branch="main", number=44) is True
    job = resqued.JobInfo("low", "of all", (44, "main"))
    assert seen == [
        ("before_enqueue", job),
        ("before_perform", job),
        ("own", 44, "main"),
        job,
        ("after_perform", job),
        ("after_enqueue", job),
    ]
    assert resqued.current_job() is None


def test_all_vetoes_are_asked_and_one_is_enough(seen: list[object]) -> None:
    @resqued.job(
        queue="low",
        name="vetoed",
        before_enqueue=[noting(seen, "a", False), noting(seen, "b", 0)],
        after_enqueue=noting(seen, "after"),
    )
    def archive() -> None:
        seen.append("run")

    assert archive.name == "vetoed"
    assert client().enqueue(archive) is False
    assert client().enqueue_many([(archive,), (archive,)]) == 0
    assert seen == [("a",), ("b",)] * 3


# Around


def hooks(*around: Callable[..., Any]) -> Any:
    job = resqued.job(queue="low", name=f"around {id(around)}")(lambda: None)
    for hook in around:
        job.around_perform(hook)
    return hooks_of(job)


def test_the_first_around_hook_is_the_outermost(seen: list[object]) -> None:
    def outer(number: int) -> Iterator[None]:
        seen.append("outer begins")
        seen.append((yield))
        seen.append("outer ends")

    @contextmanager
    def inner(number: int) -> Iterator[None]:
        seen.append(f"inner {number}")
        yield
        seen.append("inner ends")

    perform(hooks(outer, inner), lambda: seen.append("run") or 7, JOB)
    assert seen == [*("outer begins", "inner 44", "run", "inner ends", 7, "outer ends")]


def test_an_around_hook_sees_the_exception_and_may_change_it() -> None:
    def change(number: int) -> Iterator[None]:
        try:
            yield
        except ValueError:
            raise LookupError("changed") from None

    def fail() -> None:
        raise ValueError

    with pytest.raises(LookupError, match="changed"):
        perform(hooks(change), fail, JOB)


def test_what_is_neither_generator_nor_context_manager_is_said() -> None:
    with pytest.raises(resqued.JobClassError, match="neither a generator function"):
        perform(hooks(lambda number: None), lambda: None, JOB)


def test_a_second_yield_is_said() -> None:
    def twice(number: int) -> Iterator[None]:
        yield
        yield

    with pytest.raises(resqued.JobClassError, match="twice yields more than once"):
        perform(hooks(twice), lambda: None, JOB)


def test_a_second_yield_does_not_hide_the_exception_of_the_job() -> None:
    def twice(number: int) -> Iterator[None]:
        try:
            yield
        finally:
            yield

    def fail() -> None:
        raise ValueError("of the job")

    with pytest.raises(resqued.JobClassError, match="more than once") as caught:
        perform(hooks(twice), fail, JOB)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_around_hook_lets_a_stop_iteration_pass_as_what_it_is() -> None:
    def around(number: int) -> Iterator[None]:
        yield

    with pytest.raises(StopIteration):
        perform(hooks(around, around), lambda: next(iter(())), JOB)


class Coroutine:
    async def __call__(self, *_: object) -> bool:
        return False


def _behind_a_decorator(*_: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize("hook", [Coroutine(), lambda *_: _behind_a_decorator()])
@pytest.mark.parametrize("kind", ["before_enqueue", "before_perform", "after_perform"])
def test_a_hook_of_which_nothing_ran_is_said(kind: Any, hook: Any) -> None:
    """What it returns is True for everybody, so no veto of it would ever count."""
    name = f"{kind} {id(hook)}"
    job = resqued.job(queue="low", name=name, **{kind: hook})(lambda: None)
    with pytest.raises(resqued.JobClassError, match="of which nothing ran"):
        client().enqueue(job)


def test_each_on_failure_hook_runs_though_others_raise(seen: list[object]) -> None:
    def bad(error: Exception, number: int) -> None:
        raise RuntimeError("bad")

    job = resqued.job(queue="low", name="failing")(lambda number: None)
    job.on_failure(bad)
    job.on_failure(noting(seen, "second"))
    error, found = ValueError(), hooks_of(job)
    assert found is not None
    run_on_failure(found, JOB, error, lambda hook, raised: seen.append(str(raised)))
    assert seen == ["bad", ("second", error, 44)]


# Plugins


class Good:
    def around_perform_good(self, job: resqued.JobInfo) -> Iterator[None]:
        yield

    def queue_empty_good(self) -> None: ...


def test_a_plugin_registers_its_hooks_once(registered: dict[str, list[Any]]) -> None:
    plugin = Good()
    resqued.plugin.register(plugin)
    assert registered == {
        "around_perform": [plugin.around_perform_good],
        "queue_empty": [plugin.queue_empty_good],
    }
    with pytest.raises(resqued.JobClassError, match="has no method such as"):
        resqued.plugin.register(object())
    with pytest.raises(resqued.JobClassError, match="is a hook of workers"):
        resqued.job(queue="low", name="of plugin", plugins=[plugin])(lambda: None)


def test_a_plugin_that_is_registered_twice_runs_once(
    registered: dict[str, list[Any]],
) -> None:
    plugin = Good()
    resqued.plugin.register(plugin)
    resqued.plugin.register(plugin)
    assert registered["around_perform"] == [plugin.around_perform_good]
    resqued.plugin.register(Good())  # another one, with other settings perhaps
    assert len(registered["around_perform"]) == 2


def test_a_class_in_place_of_a_plugin_is_refused(
    registered: dict[str, list[Any]],
) -> None:
    """Its methods would take the job for self, and fail for every job."""
    with pytest.raises(resqued.JobClassError, match=r"give Good\(\) in place of"):
        resqued.plugin.register(Good)
    with pytest.raises(resqued.JobClassError, match=r"give Good\(\) in place of"):
        resqued.job(queue="low", name="of class", plugins=[Good])(lambda: None)
    assert not registered


def test_lint_wants_a_suffix() -> None:
    resqued.plugin.lint(Good())
    resqued.plugin.lint(Plugin)
    with pytest.raises(resqued.LintError, match=r"Archive.before_perform is not names"):
        resqued.plugin.lint(Archive)
    with pytest.raises(resqued.LintError, match="must be a staticmethod"):
        resqued.plugin.lint(Good)

    class Later:
        async def before_perform_x(self) -> None: ...

    with pytest.raises(resqued.LintError, match="is async def"):
        resqued.plugin.lint(Later())
