"""The beginning of a record that is too long to read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resqued.wire.worker_record import TOO_LONG, decode_held, without_arguments


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (
            (
                b'{"queue":"low","run_at":"2026-11-28T10:00:00Z","payload":{"class":"Big"'
                b',"args":["xxx'
            ),
            {"queue": "low", "run_at": "2026-11-28T10:00:00Z", "class": "Big"},
        ),
        (b'{"queue":"a\\"b","payl', {"queue": 'a"b', "class": ""}),
        (b'{"queue":"first","x":{"queue":"second"', {"queue": "first", "class": ""}),
        (b'{"queue":"\\x","class" : "A"', {"class": "A"}),
        (b"no JSON", {"class": ""}),
    ],
)
def test_what_stands_at_the_beginning_is_known(
    beginning: bytes, expected: dict[str, Any]
) -> None:
    found = json.loads(without_arguments(beginning))
    job = found.pop("payload")
    assert job["args"] == [TOO_LONG]
    assert {**found, "class": job["class"]} == expected


def test_it_is_a_record_that_is_read_as_others_are() -> None:
    beginning = b'{"queue":"low","run_at":"2026-11-28T10:00:00Z","payload":{"class":"B"'
    held = decode_held(without_arguments(beginning))
    assert (held.queue, held.run_at) == ("low", "2026-11-28T10:00:00Z")
    assert json.loads(held.payload) == {"class": "B", "args": [TOO_LONG]}
