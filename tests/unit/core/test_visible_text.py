"""Text from Redis as pages show it, and its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.visible_text import bytes_of, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢 \t\n", "plain ü 漢 \t\n"),
        ("\x00\x1b\x7f\x9f", r"\x00\x1b\x7f\x9f"),
        ("a\u202eb", r"a\u202eb"),
        ("\u200b\ufeff", r"\u200b\ufeff"),
        ("\ud800\udcff", r"\ud800\udcff"),
    ],
)
def test_hidden_characters_are_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_what_is_shown_is_utf8(text: str) -> None:
    visible(text).encode()


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [("abc", 3, "abc"), ("abcd", 3, "abc…"), ("", 0, ""), ("a", 0, "…")],
)
def test_a_long_text_is_cut(text: str, most: int, short: str) -> None:
    assert shortened(text, most) == short


@given(st.binary())
def test_a_text_of_redis_has_its_bytes(raw: bytes) -> None:
    assert bytes_of(raw.decode("utf-8", "surrogateescape")) == raw


def test_half_a_character_of_json_has_bytes() -> None:
    assert bytes_of("a\ud800") == b"a\xed\xa0\x80"
