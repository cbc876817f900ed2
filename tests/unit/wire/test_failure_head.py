"""The few fields of a failure that groups and filters need."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.wire import failure_head, timestamps

ENTRY = {
    "failed_at": "2026/11/27 22:58:27 UTC",
    "payload": {"class": "Archive", "args": [1]},
    "exception": "ValueError",
    "error": "bad ü",
    "backtrace": ["one", "two"],
    "worker": "web1:1:low",
    "queue": "low",
}


def entry(**changed: Any) -> bytes:
    return json.dumps(ENTRY | changed).encode()


def test_the_fields_of_a_failure_are_read() -> None:
    found = failure_head.read(entry())
    assert found is not None
    assert found.payload.class_name == "Archive"
    assert (found.exception, found.error) == ("ValueError", "bad ü")
    assert (found.worker, found.queue) == ("web1:1:low", "low")
    assert found.retried_at == ""
    assert failure_head.lines(found.backtrace) == ["one", "two"]


def test_a_field_that_is_not_there_is_empty() -> None:
    found = failure_head.read(b'{"payload": {"class": "A"}}')
    assert found is not None
    assert (found.queue, found.failed_at) == ("", "")
    assert failure_head.lines(found.backtrace) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"payload": null}',
        b'{"payload": {"class": 5}}',
        entry(queue=5),
        b'{"payload": {"class": "A"}, "other": "\xff"}',
        b'{"payload": {"class": "A"}, "other": "\xc3\xbc"',
        b"[" * 100_000,
    ],
)
def test_an_odd_entry_has_no_head(raw: bytes) -> None:
    assert failure_head.read(raw) is None


@pytest.mark.parametrize(
    ("backtrace", "lines"),
    [
        (b'["a", 1, null]', ["a", "1", "None"]),
        (b"null", []),
        (b'"text"', []),
        (b"no JSON", []),
        (b"[" * 100_000, []),
    ],
)
def test_lines_are_those_of_a_list(backtrace: bytes, lines: list[str]) -> None:
    assert failure_head.lines(backtrace) == lines


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970/01/01 00:00:59 UTC", 59),
        ("1970/01/01 00:01:00 UTC", 60),
        ("1969/12/31 23:59:59 UTC", 0),
        ("", 0),
        ("yesterday at noon:59", 0),
        ("9999/12/31 23:59:59 UTC", 2**32 - 1),
    ],
)
def test_a_time_is_read_in_seconds(text: str, seconds: int) -> None:
    assert failure_head.seconds(text) == seconds


@given(st.integers(0, 2**31))
def test_each_form_of_a_time_is_read_as_everywhere(at: int) -> None:
    for text in (timestamps.failed_at(at), timestamps.run_at(at)):
        read = timestamps.read(text)
        assert read is not None
        assert failure_head.seconds(text) == int(read.timestamp())
