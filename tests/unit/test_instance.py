"""What the name of an instance means, as systemd hands it over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.instance import file_name, queue_list, unescape


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        (r"critical\x2chigh", "critical,high"),
        ("critical,high", "critical,high"),
        # Not undone: systemd's own rule would make a slash of it.
        ("low-priority", "low-priority"),
        (r"low\x2dpriority", "low-priority"),
        (r"\xc3\xbcbung", "übung"),
        (r"\x2a", "*"),
        (r"\x5cx2c", r"\x2c"),
        (r"a\x2", r"a\x2"),
        (r"a\xzz", r"a\xzz"),
        (r"\xff", "\ufffd"),
    ],
)
def test_only_escapes_are_undone(name: str, plain: str) -> None:
    assert unescape(name) == plain


def escaped(text: str) -> str:
    """Escape as systemd-escape(1) does, but for the slash."""
    kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_."
    return "".join(chr(b) if b in kept else f"\\x{b:02x}" for b in text.encode())


@given(st.text())
def test_what_was_escaped_comes_back(text: str) -> None:
    assert unescape(escaped(text)) == text


def test_all_is_every_queue_and_nothing_else_is() -> None:
    assert queue_list("all") == "*"
    assert queue_list("all,mail") == "all,mail"


def test_its_file_lies_beside_the_common_one_whatever_it_is_called() -> None:
    assert file_name("critical,high") == "critical,high.toml"
    assert file_name("../a/b") == ".._a_b.toml"
