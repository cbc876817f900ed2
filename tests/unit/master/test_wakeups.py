"""Which queues the workers of a list are told: paused ones, and those with jobs."""

from __future__ import annotations

import pytest

from resqued.master.wakeups import _ROOM, first_choices, paused_for
from resqued.wire import queue_list


@pytest.mark.parametrize(
    ("paused", "queues", "told"),
    [
        ((), "a,b", ()),
        (("b", "c"), "a,b", ("b",)),
        (("c",), "a,b", ()),
        (("low", "a:b", "a"), "*,!low", ("a", "a:b")),
        (("a:b",), "a:*", ("a:b",)),
        (None, "a", None),
        (["x" * _ROOM], "*", None),
        (["x" * _ROOM], "a", ()),
        ([f"{n:099}" for n in range(321)], "*", None),
    ],
)
def test_what_is_told(paused, queues: str, told) -> None:
    assert paused_for(paused, queue_list.parse(queues)) == told


def test_as_many_as_have_room_are_told() -> None:
    names = [f"{n:099}" for n in range(320)]
    assert paused_for(names, queue_list.parse("*")) == tuple(names)


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ({}, ()),
        ({"a": 0, "b": 0}, ()),
        ({"a": 1, "b": 0, "c": 2}, ("a", "c")),
        ({"x" * (_ROOM + 1): 1}, None),
        ({"x" * (_ROOM + 1): 0}, ()),
        ({"a": 1, "x" * _ROOM: 1}, ("a",)),
    ],
)
def test_names_without_room_are_not_the_same_as_none(lengths, told) -> None:
    """At None each worker reads all lengths, which ten thousand queues make dear."""
    assert first_choices(lengths, queue_list.parse("*")) == told
