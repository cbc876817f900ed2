"""Which failures a filter has, and which failure an id means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resqued.errors import ResquedError
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter, pick

THEN = 1_795_433_916.0


def failure(**given: Any) -> Failure:
    fields = {
        "failed_at": "2026/11/23 11:38:36 UTC",
        "payload": {"class": "Boom", "args": [1]},
        "exception": "Resque::DirtyExit",
        "queue": "mail",
        **given,
    }
    return Failure(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("which", "has"),
    [
        ({}, True),
        ({"class_name": "Boom", "queue": "mail"}, True),
        ({"class_name": "Boom", "queue": "low"}, False),
        ({"exception": "Resque::DirtyExit"}, True),
        ({"exception": "DirtyExit"}, False),
        ({"since": THEN}, True),
        ({"since": THEN + 1}, False),
        ({"until": THEN}, False),
        ({"until": THEN + 1}, True),
        ({"since": THEN - 60, "until": THEN + 60, "class_name": "Other"}, False),
        ({"is_retried": False}, True),
        ({"is_retried": True}, False),
    ],
)
def test_all_conditions_hold_together(which: dict[str, Any], has: bool) -> None:
    assert FailureFilter(**which).has(failure()) is has


def test_an_entry_without_a_time_is_at_no_time() -> None:
    for entry in (failure(failed_at="some day"), Failure(b"garbage")):
        assert FailureFilter().has(entry)
        assert not FailureFilter(since=0.0).has(entry)
        assert not FailureFilter(until=THEN).has(entry)


def test_ids_are_looked_up_once_each() -> None:
    one, two = failure(), failure(queue="low")
    assert pick((two.id, one.id[:4].upper(), one.id), [one, two]) == [two, one]
    with pytest.raises(ResquedError, match="there is no failure 0000"):
        pick(("0000",), [one, two])
    with pytest.raises(ResquedError, match="too short"):
        pick((one.id[:3],), [one])
    with pytest.raises(ResquedError, match="an id is 12 hex digits"):
        pick(("nope",), [one])
