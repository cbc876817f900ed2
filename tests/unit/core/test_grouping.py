"""The keys of groups of failures."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.grouping import group_of, innermost, normalized


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("user 17 is gone", "user # is gone"),
        ("user 'anna' is gone", "user # is gone"),
        ('no key "a b"', "no key #"),
        ("can't open", "can't open"),
        ("at 0x7f3a2b", "at #"),
        ("commit deadbeef0123 missing", "commit # missing"),
        ("job 0d6c1e0c-3d6d-4b41-9a0a-2f5b6a2f3c11 failed", "job # failed"),
        ("no file /srv/data/17.csv", "no file #"),
        ("GET https://example.org/a?b=1 gave 502", "GET # gave #"),
        ("took 1.5 s, not 2", "took # s, not #"),
        ("[1, 2, 3] of 4", "[#] of #"),
        ("a\n  b", "a b"),
        ("accessed", "accessed"),
        ("", ""),
    ],
)
def test_what_differs_from_job_to_job_is_left_out(message: str, expected: str) -> None:
    assert normalized(message) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [
                "Traceback (most recent call last):",
                '  File "/app/mail.py", line 3, in send',
                '  File "/app/net.py", line 9, in call',
                '  File "/v/lib/python3.11/site-packages/http.py", line 5, in get',
                "ValueError: no",
            ],
            "/app/net.py in call",
        ),
        (["/a/b.rb:3:in `run'", "/gems/a.rb:1:in `x'"], "/a/b.rb in run"),
        (["/x/gems/a.rb:1:in `x'", "/a/b.rb:2:in 'A#run'"], "/a/b.rb in A#run"),
        (['  File "/app/releases/20261128/a.py", line 3, in f'], "/app/#/a.py in f"),
        (['  File "/lib/python3.11/a.py", line 3, in f'], "/lib/python3.11/a.py in f"),
        (['  File "/app/broken.py", line 3'], "/app/broken.py"),
        (["frame one"], ""),
        ([], ""),
    ],
)
def test_the_innermost_frame_of_the_application(
    lines: list[str], expected: str
) -> None:
    assert innermost(lines) == expected


@given(st.text(max_size=200), st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_do_not_part_failures(text: str, one: int, other: int) -> None:
    first = group_of("A", "E", f"{text} {one} ", [])
    second = group_of("A", "E", f"{text} {other} ", [])
    assert first.key == second.key


@given(st.text(max_size=2_000))
def test_the_text_of_a_group_is_short_and_on_one_line(text: str) -> None:
    found = normalized(text)
    assert len(found) <= 500
    assert "\n" not in found


@pytest.mark.parametrize(
    "unit", ["'", "/a", "0x", "a-", "1.", '"', "http://", "`", "f"]
)
def test_no_message_takes_long(unit: str) -> None:
    began = time.process_time()
    normalized(unit * 5_000)
    assert time.process_time() - began < 1.0


def test_classes_and_exceptions_part_failures() -> None:
    keys = {group_of(c, e, "m", []).key for c in "AB" for e in "AB"}
    assert len(keys) == 4
