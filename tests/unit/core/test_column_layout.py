"""Which columns fit on a terminal, and how wide they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.column_layout import GAP, ColumnNeed, fit_columns

ID = ColumnNeed(12, 12)
CLASS = ColumnNeed(30, 10, rank=1)
ERROR = ColumnNeed(90, 20, rank=2)
AGE = ColumnNeed(8, 8, rank=3)


@pytest.mark.parametrize(
    ("room", "widths"),
    [
        # All of it, with room to spare.
        (200, {0: 12, 1: 30, 2: 90, 3: 8}),
        # What is left goes to the narrowest column that is cut.
        (80, {0: 12, 1: 27, 2: 27, 3: 8}),
        (56, {0: 12, 1: 10, 2: 20, 3: 8}),
        # The highest rank is left out first.
        (55, {0: 12, 1: 19, 2: 20}),
        (45, {0: 12, 1: 30}),
        (23, {0: 12}),
        # An ID is always there.
        (12, {0: 12}),
        (5, {0: 5}),
        (0, {0: 1}),
    ],
)
def test_columns_are_left_out_and_cut_by_rank(
    room: int, widths: dict[int, int]
) -> None:
    assert fit_columns([ID, CLASS, ERROR, AGE], room) == widths


def test_no_columns_need_no_room() -> None:
    assert fit_columns([], 80) == {}


def test_of_equal_ranks_the_last_goes_first() -> None:
    assert fit_columns([CLASS, CLASS, CLASS], 25) == {0: 12, 1: 11}


needs = st.builds(
    lambda least, more, rank: ColumnNeed(least + more, least, rank),
    *(st.integers(1, 40), st.integers(0, 60), st.integers(0, 5)),
)


@given(st.lists(needs, max_size=9), st.integers(0, 200))
def test_a_line_fits_whenever_the_ids_do(columns: list[ColumnNeed], room: int) -> None:
    widths = fit_columns(columns, room)
    assert {i for i, need in enumerate(columns) if not need.rank} <= set(widths)
    assert list(widths) == sorted(widths)
    total = sum(widths.values()) + GAP * max(0, len(widths) - 1)
    ids = [need for need in columns if not need.rank]
    if sum(n.least for n in ids) + GAP * max(0, len(ids) - 1) <= room:
        assert total <= room
        assert all(
            columns[i].least <= w <= columns[i].widest for i, w in widths.items()
        )
    # One that is shown is of no higher rank than one that is not.
    hidden = [need.rank for i, need in enumerate(columns) if i not in widths]
    if hidden:
        assert max((columns[i].rank for i in widths), default=0) <= min(hidden)
