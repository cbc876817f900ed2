"""Who serves a queue, and what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.diagnostics.queue_service import (
    NO_LIVE_WORKER,
    NO_WORKER,
    PAUSED,
    STARVED,
    QueueServices,
    unserved,
)
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.store.reports import Worker
from resqued.wire.queue_list import QueueList
from resqued.wire.worker_entry import WorkerEntry


def worker(number: int, queues: str, state: str = "idle") -> WorkerStatus:
    entry = WorkerEntry(f"web:{number}:{queues}")
    return WorkerStatus(Worker.of(entry, 0, 0), state, 1.0, None)


@pytest.mark.parametrize(
    ("lists", "state"),
    [
        ([], NO_WORKER),
        ([("low", "dead")], NO_LIVE_WORKER),
        ([("low", "dead"), ("low*", "idle")], ""),
        ([("high,low", "idle")], STARVED),
        ([("high,low", "idle"), ("low", "dead")], STARVED),
        ([("high,low", "idle"), ("low,high", "working")], ""),
        ([("empty,low", "idle")], ""),
        ([("h*,low", "idle")], STARVED),
        ([("l?w", "idle")], ""),
    ],
)
def test_the_state_of_a_queue(lists: list[tuple[str, str]], state: str) -> None:
    workers = [worker(n, queues, state) for n, (queues, state) in enumerate(lists)]
    sizes = {"high": 1, "low": 2, "empty": 0}
    assert QueueServices(sizes, workers).of("low").state == state


def test_an_empty_queue_lacks_nothing() -> None:
    assert QueueServices({"low": 0}, []).of("low").state == ""


def test_a_queue_is_paused_by_itself_or_with_all() -> None:
    workers = [worker(1, "*")]
    services = QueueServices({"a": 1, "b": 0}, workers, are_paused=True)
    assert (services.of("a").state, services.of("b").state) == (PAUSED, "")
    services = QueueServices({"a": 1, "b": 0}, workers, paused=frozenset({"b"}))
    assert (services.of("a").state, services.of("b").state) == ("", PAUSED)


def test_what_needs_attention_comes_first() -> None:
    sizes = {"a": 9, "b": 1, "c": 5, "d": 0}
    services = QueueServices(sizes, [worker(1, "a,b")])
    assert [q.name for q in services.by_attention()] == ["c", "b", "a"]


names = st.sampled_from(["a", "ab", "b", "ba", ".a", "c"])
entries = st.sampled_from(["a", "ab", "b", "*", "a*", "*b", "?", "[ab]"])


@given(
    st.lists(st.tuples(st.lists(entries, min_size=1, max_size=3), st.booleans())),
    st.dictionaries(names, st.integers(0, 2)),
)
def test_the_index_agrees_with_each_list(
    lists: list[tuple[list[str], bool]], sizes: dict[str, int]
) -> None:
    workers = [
        worker(n, ",".join(queues), "idle" if live else "dead")
        for n, (queues, live) in enumerate(lists)
    ]
    services = QueueServices(sizes, workers)
    for name, size in sizes.items():
        serving = [w for w in workers if QueueList(w.worker.queues).serves(name)]
        found = services.of(name)
        assert found.workers == len(serving)
        assert found.live == sum(w.state == "idle" for w in serving)
        assert services.serving(name, workers) == serving
        if size and found.live:
            full = [other for other, length in sizes.items() if length]
            orders = [
                [q for q in QueueList(w.worker.queues).match(full) if sizes.get(q)]
                for w in serving
                if w.state == "idle"
            ]
            is_next = any(order[0] == name for order in orders)
            assert (found.state == STARVED) != is_next
    lost = {n for n, length in sizes.items() if length and not services.of(n).workers}
    assert set(unserved(sizes, [w.worker.id for w in workers])) == lost
