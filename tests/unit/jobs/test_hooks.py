"""Job classes with the hooks of Ruby Resque: named, because they are not called."""

from __future__ import annotations

import sys

import pytest

from resqued.jobs import declare


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
    assert declare.classes_with_hooks([__name__]) == expected
    assert declare.classes_with_hooks(["elsewhere"]) == {}
    monkeypatch.setattr(declare, "_declared", {"Hooked": Hooked})
    monkeypatch.delitem(sys.modules, __name__)
    assert declare.classes_with_hooks([]) == expected
