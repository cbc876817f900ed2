"""Durations that tests shorten."""

from __future__ import annotations

import pytest

from resqued.core.timings import DEFAULT_TIMINGS, Timings, read_timings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT_TIMINGS),
        (" ", DEFAULT_TIMINGS),
        ("start_window=0.5", Timings(start_window=0.5)),
        ("start_window=0\nstop_slack=1e1", Timings(start_window=0.0, stop_slack=10.0)),
    ],
)
def test_what_is_not_named_stays_as_it_is(text: str, expected: Timings) -> None:
    assert read_timings(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patience=1", "'patience=1' names none of canary_interval, closing_limit"),
        ("start_window", "'start_window' is not a name and seconds: start_window=0.5"),
        ("start_window=1s", "'start_window=1s' is not a name and seconds"),
        ("start_window=-1", "'start_window=-1' has no seconds from 0 upward"),
        ("start_window=inf", "'start_window=inf' has no seconds from 0 upward"),
        ("start_window=nan", "'start_window=nan' has no seconds from 0 upward"),
    ],
)
def test_what_is_no_duration_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        read_timings(text)
