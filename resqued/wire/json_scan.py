"""Checks of JSON text that make no values of it.

For texts that another program wrote and that may be large: a text of a megabyte can be
such that its value takes 40 megabytes and seconds. The memory used here is that of one
copy of the text at most, whatever it holds.
"""

from __future__ import annotations

import re

import msgspec

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
# Half of a pair of escapes for one character: \ud83d\ude00 is whole.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


class _Head(msgspec.Struct, rename={"name": "class"}):
    """The one member of a job that is read."""

    name: str


def class_name(raw: bytes) -> str:
    """Return the class that a payload names; empty if it is no JSON or names none."""
    try:
        return msgspec.json.decode(raw, type=_Head).name
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def is_job(raw: bytes, *, depth: int) -> bool:
    """Return True for the JSON text of an object that names a class.

    False for what Ruby's parser refuses too: bytes that are not UTF-8, a lone
    surrogate, more than `depth` levels of nesting. A text in doubt counts as none.
    """
    if not class_name(raw) or _LONE_SURROGATE.search(raw):
        return False
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _is_shallow(raw, depth)


def _is_shallow(raw: bytes, depth: int) -> bool:
    if raw.count(b"[") + raw.count(b"{") <= depth:
        return True
    level = 0
    for token in _TOKEN.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            level += 1
            if level > depth:
                return False
        elif first in b"]}":
            level -= 1
    return True
