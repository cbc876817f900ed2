"""JSON as Ruby writes it: byte for byte, or refused with the place at fault."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.wire.ruby_json import MAX_DEPTH, Unencodable, decode, encode, quote

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=12,
)


def nested(depth: int, inside: object = 1) -> object:
    for _ in range(depth):
        inside = [inside]
    return inside


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    ONE = 1


class Metres(float):
    def __repr__(self) -> str:
        return f"{float(self)} m"


@dataclass
class Point:
    x: int


# Value and text, as Ruby 3.1 with json 2.6 writes it; from 1e15 up to 1e16 its
# engines differ, and ours is the text of oj.
SPELLED: list[tuple[object, str]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-1, "-1"),
    (12345678901234567890, "12345678901234567890"),
    (0.1, "0.1"),
    (1.0, "1.0"),
    (-0.0, "-0.0"),
    (0.0001, "0.0001"),
    (1e-05, "1.0e-05"),
    (1.5e-07, "1.5e-07"),
    (123456789.12345679, "123456789.12345679"),
    (1e15, "1000000000000000.0"),
    (1e16, "1.0e+16"),
    (1e20, "1.0e+20"),
    (1e100, "1.0e+100"),
    (5e-324, "5.0e-324"),
    (-2e300, "-2.0e+300"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    ("", '""'),
    ("é☃/<&>\u2028😀", '"é☃/<&>\u2028😀"'),
    ('"\\', '"\\"\\\\"'),
    ("\b\t\n\f\r", '"\\b\\t\\n\\f\\r"'),
    ("\x00\x1b\x1f\x7f", '"\\u0000\\u001b\\u001f\x7f"'),
    ([], "[]"),
    ({}, "{}"),
    ((1, (2,)), "[1,[2]]"),
    ({"b": 1, "a": [None, {"": ""}]}, '{"b":1,"a":[null,{"":""}]}'),
    (Colour.RED, '"red"'),
    (Level.HIGH, "3"),
    (Metres(2), "2.0"),
]


@pytest.mark.parametrize(("value", "text"), SPELLED, ids=[t for _, t in SPELLED])
def test_values_are_spelled_as_ruby_spells_them(value: object, text: str) -> None:
    assert encode(value) == text


REFUSED: list[tuple[object, str]] = [
    ({1, 2}, "v is a set, which JSON cannot hold: pass a sorted list of it"),
    (b"x", "v is a bytes, which JSON cannot hold: pass its decode(), or base64 of it"),
    (object(), "v is an object, which JSON cannot hold"),
    (Point(1), "v is a Point, which JSON cannot hold: pass its dataclasses.asdict()"),
    (
        dt.date(2026, 11, 23),
        "v is a date, which JSON cannot hold: pass its isoformat()",
    ),
    (decimal.Decimal(1), "v is a Decimal, which JSON cannot hold: pass its str()"),
    (
        uuid.UUID(int=1),
        "v is a UUID, which JSON cannot hold: pass its str()",
    ),
    (Path("/"), "v is a PosixPath, which JSON cannot hold: pass its str()"),
    (
        dt.timedelta(1),
        "v is a timedelta, which JSON cannot hold: pass its total_seconds()",
    ),
    (Plain.ONE, "v is a Plain, which JSON cannot hold: pass its value"),
    (float("nan"), "v is nan, which JSON cannot hold"),
    (float("inf"), "v is inf, which JSON cannot hold"),
    (-float("inf"), "v is -inf, which JSON cannot hold"),
    ("\ud83d", "v has a lone surrogate, which UTF-8 cannot hold"),
    ({1: 2}, "v has the key 1, and JSON keys are strings"),
    ({None: 2}, "v has the key None, and JSON keys are strings"),
    ({b"k": 2}, "v has the key b'k', and JSON keys are strings"),
    (10**5000, "v is an integer too long to write"),
    (
        [0, {"a": [{1}]}],
        "v[1]['a'][0] is a set, which JSON cannot hold: pass a sorted list of it",
    ),
    ({"a": {2: 3}}, "v['a'] has the key 2, and JSON keys are strings"),
    (["x", "\udc00"], "v[1] has a lone surrogate, which UTF-8 cannot hold"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_a_refusal_names_the_place(value: object, message: str) -> None:
    with pytest.raises(Unencodable) as caught:
        encode(value, "v")
    assert str(caught.value) == message


def test_a_refused_key_is_named() -> None:
    with pytest.raises(Unencodable, match=r"^v, key '.*', has a lone surrogate"):
        encode({"\ud800": 1}, "v")


def test_nesting_ends_where_rubys_does() -> None:
    assert encode(nested(MAX_DEPTH)) == "[" * 100 + "1" + "]" * 100
    with pytest.raises(Unencodable) as caught:
        encode({"k": nested(MAX_DEPTH)}, "v")
    assert str(caught.value) == "v is nested too deep: 100 levels in all is the limit"


def test_nesting_counts_what_the_text_will_stand_in() -> None:
    assert encode(nested(97), depth=3)
    with pytest.raises(Unencodable, match="too deep"):
        encode(nested(98), depth=3)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(Unencodable, match="too deep"):
        encode(endless)


@given(values)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    assert decode(encode(value).encode()) == value


@given(values)
def test_only_floats_with_exponents_differ_from_python(value: Any) -> None:
    # A float's exponent is the one place where the two languages part.
    python = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if not any("e" in repr(number) for number in floats_in(value)):
        assert encode(value) == python
    assert json.loads(encode(value)) == json.loads(python)


def floats_in(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in floats_in(item)]
    return []


@given(st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    expected = text.encode("utf-8", "replace").decode()
    assert decode(quote(text).encode()) == expected


def test_what_utf8_cannot_hold_is_quoted_as_a_question_mark() -> None:
    assert quote("a\udcffb") == '"a?b"'


NOT_JSON = {
    "empty": b"",
    "blank": b" ",
    "half": b"{nope",
    "trailing comma": b"[1,]",
    "two values": b"1 2",
    "comment": b"[1] // one",
    "single quotes": b"['a']",
    "NaN": b"[NaN]",
    "Infinity": b"[-Infinity]",
    "not UTF-8": b'"\xff"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "lone surrogate": b'["\\ud83d"]',
    "lone surrogate as key": b'{"\\udc00":1}',
    "raw control character": b'"\n"',
    "byte order mark": b"\xef\xbb\xbf1",
    "too many digits": b"1" * 5000,
}


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any, and nothing but it
        decode(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (
            b' \t\r\n{ "a" : [ 1e3 , 1.10 , "\\u00e9\\/" ] } ',
            {"a": [1000.0, 1.1, "é/"]},
        ),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
        (b"12345678901234567890", 12345678901234567890),
    ],
)
def test_json_of_other_writers_is_read(raw: bytes, value: object) -> None:
    assert decode(raw) == value


@pytest.mark.parametrize("inner", [b"1", b'"\\u0041"', b'"\\ud800"'])
def test_nesting_of_any_depth_is_a_value_error_at_worst(inner: bytes) -> None:
    # Reading and looking for surrogates exhaust the stack at different depths:
    # no depth may end in another error than the one that callers expect.
    for depth in (*range(900, 1020), 100_000):
        try:
            decode(b"[" * depth + inner + b"]" * depth)
        except ValueError:
            continue
