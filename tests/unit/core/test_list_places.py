"""Places and pages of a list that moves, under every interleaving of changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core import list_places
from resqued.core.list_places import Place, Span, end_at_time, read_place

PER_PAGE = 3
CHANGES = st.lists(
    st.tuples(st.sampled_from(["append", "remove", "retry"]), st.integers(0, 30)),
    max_size=6,
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class Moving:
    """A list of elements by name; a retry writes another text for the same element."""

    names: list[str]
    texts: dict[str, str] = field(default_factory=dict)
    made: int = 0
    touched: set[str] = field(default_factory=set)

    def digest_of(self, name: str) -> str:
        return digest(self.texts.get(name, name))

    def change(self, what: str, number: int) -> None:
        if what == "append":
            self.made += 1
            self.names.append(f"late {self.made}")
        elif self.names:
            name = self.names[number % len(self.names)]
            self.touched.add(name)
            if what == "remove":
                self.names.remove(name)
            else:
                self.texts[name] = f"{name} retried"

    def find(self, place: Place) -> int | None:
        start, end = list_places.window_of(place, len(self.names))
        digests = [self.digest_of(name) for name in self.names[start:end]]
        return list_places.locate(place, start, digests)

    def shown(self, span: Span) -> list[str]:
        return self.names[span.start : span.end][::-1]

    def place(self, position: int) -> Place:
        return Place(position, self.digest_of(self.names[position]))


@given(st.integers(0, 12), st.lists(CHANGES, max_size=12))
def test_next_pages_leave_out_nothing_that_stays(
    count: int, rounds: list[list[tuple[str, int]]]
) -> None:
    moving = Moving([f"element {number}" for number in range(count)])
    first = list(moving.names)
    span = list_places.newest_span(count, PER_PAGE)
    seen: list[str] = []
    todo = iter(rounds)
    again: set[str] = set()
    while True:
        page = moving.shown(span)
        again |= {*page} & {*seen}
        assert span.has_changed or not {*page} & {*seen} - moving.touched
        seen += page
        if span.is_oldest or not page:
            break
        last = moving.place(span.start)
        for change in next(todo, []):
            moving.change(*change)
        span = list_places.span_before(
            last, moving.find(last), len(moving.names), PER_PAGE
        )
        assert len(moving.shown(span)) <= PER_PAGE
    stayed = [name for name in first if name in moving.names]
    assert {*stayed} <= {*seen}


@given(st.integers(1, 12), st.integers(0, 11), CHANGES)
def test_an_element_is_found_until_it_is_changed(
    count: int, position: int, changes: list[tuple[str, int]]
) -> None:
    moving = Moving([f"element {number}" for number in range(count)])
    place = moving.place(position % count)
    name = moving.names[place.position]
    for change in changes:
        moving.change(*change)
    found = moving.find(place)
    if name in moving.touched:
        assert found is None
    else:
        assert found is not None
        assert moving.names[found] == name


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_page_back_is_the_page_that_was_left(total: int, steps: int) -> None:
    moving = Moving([f"element {number}" for number in range(total)])
    spans = [list_places.newest_span(total, PER_PAGE)]
    while not spans[-1].is_oldest and len(spans) <= steps:
        place = moving.place(spans[-1].start)
        found = moving.find(place)
        spans.append(list_places.span_before(place, found, total, PER_PAGE))
    for left, right in pairwise(spans):
        place = moving.place(right.end - 1)
        back = list_places.span_after(place, moving.find(place), total, PER_PAGE)
        assert back == left


def test_ranks_count_from_the_newest() -> None:
    span = list_places.span_before(Place(451_800, "ab"), 451_800, 500_000, 50)
    assert (span.first_rank, span.last_rank) == (48_201, 48_250)
    assert list_places.oldest_span(500_000, 50).last_rank == 500_000
    assert list_places.newest_span(7, 50) == Span(0, 7, 7)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=40), st.integers(-1, 51)
)
def test_a_jump_to_a_time_ends_after_the_last_that_is_not_later(
    times: list[int | None], until: int
) -> None:
    known = iter(sorted(at for at in times if at is not None))
    placed = [None if at is None else next(known) for at in times]
    end = end_at_time(len(placed), until, lambda position: placed[position])
    assert all(at is None or at <= until for at in placed[:end])
    assert all(at is None or at > until for at in placed[end:])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("12.0123456789ab", Place(12, "0123456789ab")),
        ("0123456789ab0123456789ab@0", Place(0, "0123456789ab0123456789ab")),
        *((text, None) for text in ("", "12", "12.", "x.0123456789ab", "12.0123")),
        *(
            (text, None)
            for text in ("-1.0123456789ab", "٣.0123456789ab", "12.012345XY")
        ),
        ("1" * 13 + ".0123456789ab", None),
        ("12.0123456789ab\n", None),
    ],
)
def test_a_place_is_read_from_both_forms(text: str, place: Place | None) -> None:
    assert read_place(text) == place
    if place:
        assert read_place(str(place)) == place


@pytest.mark.parametrize(
    ("span", "is_newest", "is_oldest"),
    [
        (Span(0, 5, 5), True, True),
        (Span(3, 5, 5), True, False),
        (Span(0, 3, 5), False, True),
        (Span(1, 3, 5), False, False),
    ],
)
def test_a_page_knows_whether_it_is_at_an_end(
    span: Span, is_newest: bool, is_oldest: bool
) -> None:
    assert (span.is_newest, span.is_oldest) == (is_newest, is_oldest)
