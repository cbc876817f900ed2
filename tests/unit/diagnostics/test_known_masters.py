"""Which worker is of which master, by what answers and by what stands in Redis."""

from __future__ import annotations

import pytest

from resqued.diagnostics.known_masters import KnownMaster, is_paused, list_of
from resqued.wire import queue_list

ALL, SOME = queue_list.parse("*"), queue_list.parse("*,!low")
PAIR = queue_list.parse("a:b,c")


def recorded(*lists: queue_list.QueueList, host: str = "web1", paused: bool = False):
    return KnownMaster(host, 4700, paused, lists)


HERE = KnownMaster("web1", 4700, True, (SOME,), {"web1:7:*": SOME}, answers=True)


@pytest.mark.parametrize(
    ("masters", "worker", "found"),
    [
        ([], "web1:7:*", None),
        ([HERE], "web1:7:*", SOME),
        ([HERE], "web1:8:*", None),
        ([recorded(SOME)], "web1:7:*", SOME),
        ([recorded(SOME)], "web2:7:*", None),
        ([recorded(PAIR, SOME)], "web1:7:a:b,c", PAIR),
        ([recorded(PAIR)], "web1:7:c", None),
        # Two lists with these names, and nobody knows which is the worker's.
        ([recorded(SOME), recorded(ALL)], "web1:7:*", None),
        ([recorded(SOME), recorded(SOME)], "web1:7:*", SOME),
        ([recorded(SOME)], "no id", None),
    ],
)
def test_the_list_of_a_worker(masters, worker, found) -> None:
    assert list_of(masters, worker) == found


@pytest.mark.parametrize(
    ("masters", "paused"),
    [
        ([], False),
        ([HERE], True),
        ([recorded(SOME, paused=True)], True),
        ([recorded(SOME, paused=True), recorded(SOME)], False),
        ([recorded(PAIR, paused=True)], False),
        ([recorded(SOME, paused=True, host="web2")], False),
    ],
)
def test_whether_a_worker_is_paused(masters, paused) -> None:
    assert is_paused(masters, "web1:7:*") == paused
