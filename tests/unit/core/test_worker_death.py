"""What becomes of a job whose worker has died: which rule is whose."""

from __future__ import annotations

import json

import pytest
from msgspec import convert, to_builtins

from resqued.core.worker_death import FAIL, DeathRule, DeathRules

RULES = DeathRules(
    DeathRule("fail", 3, 10.0),
    {"low": DeathRule("requeue")},
    {"Mail": DeathRule("retry", 7)},
    {"Sync": DeathRule(None, 5, 0.0), "Mail": DeathRule("fail", 1, 60.0)},
)


@pytest.mark.parametrize(
    ("queue", "name", "rule"),
    [
        ("high", "Other", DeathRule("fail", 3, 10.0)),
        ("low", "Other", DeathRule("requeue", 3, 10.0)),
        ("low", "Sync", DeathRule("requeue", 5, 0.0)),
        ("high", "Sync", DeathRule("fail", 5, 0.0)),
        ("high", "Mail", DeathRule("retry", 7, 60.0)),
    ],
)
def test_each_value_is_that_of_the_most_specific_place(
    queue: str, name: str, rule: DeathRule
) -> None:
    assert RULES.of(queue, name) == rule


def test_rules_travel_as_json() -> None:
    assert convert(json.loads(json.dumps(to_builtins(RULES))), DeathRules) == RULES


@pytest.mark.parametrize(
    ("declared", "rule"),
    [
        ({}, DeathRule("fail", 3, 10.0, 5)),
        ({"Other": DeathRule("retry", 2)}, DeathRule("retry", 2, 10.0, 5)),
        ({"Sync": DeathRule("retry", 2)}, DeathRule("fail", 3, 10.0, 5)),
    ],
)
def test_what_the_application_declares_takes_the_place_of_what_it_declared(
    declared: dict[str, DeathRule], rule: DeathRule
) -> None:
    before = DeathRules(declared={"Other": DeathRule("requeue", 9)}, records_all=True)
    rules = before.with_declared(declared)
    assert rules.of("high", "Other") == rule
    assert rules.records_all
    assert before.of("high", "Other") == DeathRule("requeue", 9, 10.0, 5)


def test_rules_that_put_nothing_back_are_false() -> None:
    assert RULES
    assert not DeathRules()
    assert not DeathRules(declared={"A": DeathRule(None, 3)})
    assert DeathRules().of("q", "A") == FAIL
