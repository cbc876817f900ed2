"""Job classes with the hooks of Ruby Resque: named, because they are not called."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from resqued.jobs import lookup


class Hooked:
    @staticmethod
    def before_perform_check() -> None: ...
    @staticmethod
    def on_failure() -> None: ...

    before_performance = 1
    around_perform_x = "no method"

    @staticmethod
    def perform() -> None: ...


class Plain:
    @staticmethod
    def perform() -> None: ...


class NoJob:
    def before_perform(self) -> None: ...


def test_a_class_with_hooks_is_named_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{__name__}.Hooked"
    expected = {name: ["before_perform_check", "on_failure"]}
    assert lookup.classes_with_hooks([__name__]) == expected
    assert lookup.classes_with_hooks(["elsewhere"]) == {}
    monkeypatch.setattr(lookup, "DECLARED", {"Hooked": Hooked})
    monkeypatch.delitem(sys.modules, __name__)
    assert lookup.classes_with_hooks([]) == expected


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
    assert lookup.classes_with_hooks(["shop"]) == {}
    assert not lookup.has_jobs(["shop"])
