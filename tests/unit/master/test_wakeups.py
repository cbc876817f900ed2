"""Which paused queues the workers of a list are told."""

from __future__ import annotations

import pytest

from resqued.master.wakeups import _ROOM, paused_for
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
