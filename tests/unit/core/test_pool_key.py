"""Which namespaces have a problem, as text."""

from __future__ import annotations

import pytest

from resqued.core.pool_key import where_they_are


@pytest.mark.parametrize(
    ("problems", "told"),
    [
        ({}, []),
        ({"resque": ""}, []),
        ({"resque": "away"}, ["away"]),
        ({"resque": "", "{mail}": ""}, []),
        ({"resque": "", "{mail}": "away"}, ["away (namespace {mail})"]),
        ({"a": "away", "b": "away"}, ["away (namespaces a, b)"]),
        ({"a": "away", "b": "full"}, ["away (namespace a)", "full (namespace b)"]),
        (
            dict.fromkeys("abcde", "away"),
            ["away (namespaces a, b, c and 2 more)"],
        ),
    ],
)
def test_a_problem_is_told_once_with_its_namespaces(
    problems: dict[str, str], told: list[str]
) -> None:
    assert list(where_they_are(problems)) == told
