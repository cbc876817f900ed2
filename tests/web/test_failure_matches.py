"""Rows of failures as fast reading makes them, and the counts of filters in slices."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web import failure_matches
from resqued.web.failure_columns import FailureColumns, FailureRow
from resqued.web.failure_groups import FailureGroups
from resqued.web.failure_matches import FilterMatches
from resqued.wire import failure_head

USUAL: dict[str, Any] = {
    "failed_at": "2026/11/27 22:58:27 UTC",
    "payload": {"class": "Mail", "args": [1]},
    "exception": "ValueError",
    "error": "no order 12",
    "backtrace": ['  File "/app/mail.py", line 7, in perform'],
    "worker": "web1:12:mail",
    "queue": "mail",
}


def entry(**changed: Any) -> bytes:
    return json.dumps({**USUAL, **changed}, ensure_ascii=False).encode()


def without(name: str) -> bytes:
    return json.dumps({key: USUAL[key] for key in USUAL if key != name}).encode()


ENTRIES = [
    entry(),
    entry(retried_at="2026/11/28 00:00:00"),
    entry(failed_at="2026-11-27T22:58:27.123Z"),
    entry(failed_at="2026/11/27 22:58:27 +0130"),
    entry(failed_at="2026/11/27 22:58:61 UTC"),
    entry(failed_at="Fri Nov 27 2026 22:58:27 GMT+0100 (CET)"),
    entry(failed_at="1764284307"),
    entry(failed_at="1901/01/01 00:00:00 UTC"),
    entry(failed_at="yesterday"),
    entry(failed_at=17),
    entry(failed_at=None),
    entry(error="größer"),
    entry(error=None),
    entry(error=["a", 1]),
    entry(queue=None),
    entry(queue=4),
    entry(worker=None),
    entry(backtrace=None),
    entry(backtrace="one line"),
    entry(backtrace=[1, None, USUAL["backtrace"][0], {"a": True}]),
    entry(backtrace=["x" * 20_000, *USUAL["backtrace"]]),
    entry(payload=None),
    entry(payload={"class": None}),
    entry(payload={"args": []}),
    *map(without, USUAL),
    entry().replace(b"no order", b"no \\ud800 order"),
    entry().replace(b"no order", b"no \\u001b order"),
    entry().replace(b"no order", b"no \xff order"),
    entry().replace(b"[1]", b'["\xff"]'),
    entry().replace(b"[1]", b"[NaN]"),
    entry().replace(b"[1]", b"[" * 5_000 + b"]" * 5_000),
    b"null",
    b"[]",
    b"",
    b"\xff",
]


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_an_entry_read_fast_has_the_row_of_one_read_whole(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = FailureGroups()
    fast = groups.row_of(ENTRIES[number])
    monkeypatch.setattr(failure_head, "read", lambda _: None)
    assert groups.row_of(ENTRIES[number]) == fast
    assert len(groups.groups) == len(groups.origins) == 1
    failure = Failure(ENTRIES[number])
    assert f"{fast.digest:012x}" == failure.id
    assert groups.groups[0].group == failure.group
    assert groups.origins == [(failure.queue, failure.host)]
    at = failure.failed_at
    assert fast.time == (max(0, int(at.timestamp())) if at else 0)
    assert fast.retried == failure.is_retried


FILTERS = [
    FailureFilter(),
    FailureFilter(class_name="Class1"),
    FailureFilter(exception="Error2", queue="q1"),
    FailureFilter(host="host0", is_retried=True),
    FailureFilter(is_retried=False, since=40.0),
    FailureFilter(until=60.5),
    FailureFilter(since=20.0, until=21.0),
]


class Model:
    """Rows whose matches are also worked out one by one."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.groups = FailureGroups()
        self.columns = FailureColumns(40)

    def row(self) -> FailureRow:
        draw = self.draw
        at = draw.choice([None, draw.randrange(1, 100)])
        clock = f"1970/01/01 00:{(at or 0) // 60:02}:{(at or 0) % 60:02} UTC"
        return self.groups.row_of(
            entry(
                payload={"class": f"Class{draw.randrange(3)}"},
                exception=f"Error{draw.randrange(4)}",
                queue=f"q{draw.randrange(3)}",
                worker=f"host{draw.randrange(2)}:1:*",
                failed_at=at and clock,
                retried_at=draw.choice(["", "2026/01/01 00:00:00"]),
            )
        )

    def change(self) -> None:
        columns, draw = self.columns, self.draw
        kind = draw.choice(["above", "above", "below", "put", "remove"])
        if kind == "above":
            for _ in range(draw.randrange(20)):
                columns.add_above(self.row())
        elif kind == "below":
            for _ in range(min(columns.low, draw.randrange(20))):
                columns.add_below(self.row())
        elif len(columns):
            first = draw.randrange(columns.low, columns.high)
            if kind == "put":
                columns.put(first, self.row())
            else:
                columns.remove(first, min(columns.high, first + draw.randrange(1, 9)))

    def expected(self, which: FailureFilter) -> list[int]:
        def has(row: FailureRow) -> bool:
            group = self.groups.groups[row.group].group
            queue, host = self.groups.origins[row.origin]
            return (
                which.class_name in (None, group.class_name)
                and which.exception in (None, group.exception)
                and which.queue in (None, queue)
                and which.host in (None, host)
                and which.is_retried in (None, bool(row.retried))
                and (which.since is None or (row.time and row.time >= which.since))
                and (which.until is None or (row.time and row.time < which.until))
            )  # type: ignore[return-value]

        rows = range(self.columns.high - 1, self.columns.low - 1, -1)
        return [position for position in rows if has(self.columns.get(position))]


@pytest.mark.parametrize("seed", range(20))
def test_counting_in_slices_ends_with_what_counting_at_once_finds(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_matches, "_SLICE", 7)
    model = Model(seed)
    kept = [FilterMatches(which, None, model.groups) for which in FILTERS]
    for _ in range(15):
        model.change()
        for each in kept:
            each.turn({"failed": model.columns})
    for which, each in zip(FILTERS, kept, strict=True):
        while each.turn({"failed": model.columns}):
            pass
        expected = model.expected(which)
        found = each.result()
        assert [place.position for place in found.places(1_000)] == expected
        rows = [model.columns.get(position) for position in expected]
        times = [row.time for row in rows if row.time]
        assert found.is_complete
        assert found.count == found.classes.total() == found.queues.total() == len(rows)
        assert (found.oldest, found.newest) == (
            min(times, default=0),
            max(times, default=0),
        )


def test_a_page_gets_what_is_counted_so_far_and_the_last_numbers_while_rows_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failure_matches, "_SLICE", 10)
    model = Model(1)
    for _ in range(25):
        model.columns.add_below(model.row())
    matches = FilterMatches(FailureFilter(), None, model.groups)
    counts = [matches.result().count]
    while matches.turn({"failed": model.columns}):
        counts.append(matches.result().count)
        assert not matches.result().is_complete
    assert counts == [0, 10, 20]
    assert (matches.result().count, matches.result().is_complete) == (25, True)
    # A row goes: all are counted again, and nobody sees a part of them.
    model.columns.remove(20, 21)
    while matches.turn({"failed": model.columns}):
        assert matches.result().count == 25
    assert matches.result().count == 24
    matches.turn({})
    assert matches.result().count == 0
