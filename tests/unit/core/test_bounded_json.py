"""Values of any size and depth, as answers of the API carry them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.bounded_json import CUT, DEEPEST, LONGEST, MOST, Bounds

ROOM = 1_000_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, True, None, "ü"]}, {"a": [1, 2.5, True, None, "ü"]}),
        ((1, 2), [1, 2]),
        ([float("nan"), float("inf"), -float("inf")], [None, None, None]),
        ("\udcff", "\\udcff"),
        (b"x", "b'x'"),
        ({1: 2}, {"1": 2}),
        (deep(DEEPEST), deep(DEEPEST)),
        ([[]], [[]]),
    ],
)
def test_what_fits_stays(value: Any, expected: Any) -> None:
    bounds = Bounds(ROOM)
    assert bounds.bounded(value) == expected
    assert not bounds.has_cut


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * (LONGEST + 1), "x" * LONGEST + CUT),
        ([0] * (MOST + 1), [0] * MOST + [CUT]),
    ],
)
def test_what_is_too_long_is_cut(value: Any, expected: Any) -> None:
    bounds = Bounds(ROOM)
    assert bounds.bounded(value) == expected
    assert bounds.has_cut


def test_what_is_too_deep_is_cut() -> None:
    bounds = Bounds(ROOM)
    text = json.dumps(bounds.bounded(deep(10_000)))
    assert text.count("[") == DEEPEST
    assert bounds.has_cut


def test_an_object_says_where_it_was_cut() -> None:
    bounds = Bounds(ROOM)
    found = bounds.bounded({str(n): n for n in range(MOST + 5)})
    assert len(found) == MOST + 1
    assert found[CUT] == CUT


def test_an_answer_has_a_room_for_all_of_its_values() -> None:
    bounds = Bounds(1_000)
    found = bounds.bounded(["x" * 400] * 10)
    assert found == ["x" * 400] * 3 + [CUT]


@given(VALUES)
def test_every_value_becomes_json_of_utf8(value: Any) -> None:
    json.dumps(Bounds(2_000).bounded(value), allow_nan=False).encode()
