"""Searching a text in what a person may see of a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resqued.core.text_filter import TextFilter

FIELDS: dict[str, Any] = {
    "payload": {"class": "Pay", "args": [{"card": "4111", "note": "Über"}, 17, None]},
    "error": 'said "no" / never',
    "backtrace": ["/app/pay.py:3"],
}


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize(
    ("text", "sees_args", "found"),
    [
        ("pay.PY", True, True),
        ('"NO"', True, True),
        ("/ never", True, True),
        ("über", True, True),
        ("über", False, False),
        ("17", True, True),
        ("Pay", False, True),
        ("4111", True, False),
        ("card", True, True),
        ("elsewhere", True, False),
    ],
)
def test_a_text_is_found_where_it_can_be_seen(
    *, text: str, sees_args: bool, found: bool, ensure_ascii: bool
) -> None:
    entry = json.dumps(FIELDS, ensure_ascii=ensure_ascii).encode()
    which = TextFilter(text, sees_args=sees_args, hidden=("Card",))
    assert which.has(entry, FIELDS) == found


def test_an_entry_that_is_no_failure_has_no_text() -> None:
    assert not TextFilter("a").has(b"a", {})
    assert not TextFilter("a").has(b"a", {"payload": "a"})
