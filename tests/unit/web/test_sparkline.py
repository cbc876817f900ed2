"""The points of lines in charts."""

from __future__ import annotations

import pytest

from resqued.web.sparkline import lines, top_of


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([], []),
        ([None, None], []),
        ([0, 10], ["1.0,25.0 111.0,1.0"]),
        ([0, 0], ["1.0,25.0 111.0,25.0"]),
        ([5], ["1.0,1.0 2.0,1.0"]),
        ([0, None, 10], ["1.0,25.0 2.0,25.0", "111.0,1.0 112.0,1.0"]),
        ([-5, 10], ["1.0,25.0 111.0,1.0"]),
    ],
)
def test_values_become_points(values: list[float | None], points: list[str]) -> None:
    assert lines(values) == points


def test_lines_of_one_chart_have_one_scale() -> None:
    top = top_of([1, 2], [None, 4])
    assert top == 4
    assert lines([2, 4], top=top) == ["1.0,13.0 111.0,1.0"]
    assert lines([9, 9], top=top) == ["1.0,1.0 111.0,1.0"]
