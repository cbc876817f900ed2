"""JSON as Ruby writes it: the text of payloads, failures and worker records.

The bytes matter, because Resque removes jobs by comparing them (wire format 2.1): no
spaces, raw UTF-8, and floats as Ruby writes them. A value that JSON cannot hold is
refused with an error that names its place.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any, NoReturn

# Ruby's generator and parser refuse deeper nesting (json gem, max_nesting), counted
# from the outermost value.
MAX_DEPTH = 100


class Unencodable(ValueError):  # noqa: N818 - callers turn it into an error of theirs
    """A value that JSON cannot hold; `place` names it, `reason` says why."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place} {reason}")


def encode(value: object, place: str = "value", *, depth: int = 0) -> str:
    """Return the JSON text of a value.

    `place` is the name of the value for errors, `depth` the number of lists and
    objects that the text will be nested in. Raises Unencodable.
    """
    out: list[str] = []
    _write(value, place, depth, out)
    return "".join(out)


def quote(text: str) -> str:
    """Return a text as a JSON string; lone surrogates become `?`."""
    return encode_basestring(text.encode("utf-8", "replace").decode("utf-8"))


def decode(raw: bytes | str) -> Any:
    """Return the value of strict JSON text in UTF-8.

    Raises ValueError for what Ruby's parser rejects too: NaN, lone surrogates, invalid
    UTF-8 (UnicodeDecodeError). Nesting has no limit but that of Python's parser, some
    hundred levels; `encode` refuses what is deeper than Ruby reads. A number such as
    1e999 is infinity, as in Ruby.
    """
    text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    try:
        # As json.loads does, without its two searches by regular expression.
        stripped = text.strip(_BLANKS)
        value, end = _DECODER.raw_decode(stripped)
        has_surrogate = "\\u" in text and _has_surrogate(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if end != len(stripped):
        raise ValueError(f"more than one value: the second at character {end}")
    if has_surrogate:
        raise ValueError("a lone surrogate is no character")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# White space in JSON (RFC 8259, section 2).
_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _has_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _write(value: object, place: str, depth: int, out: list[str]) -> None:
    match value:
        case None:
            out.append("null")
        case bool():
            out.append("true" if value else "false")
        case str():
            out.append(_string(value, place))
        case int():
            out.append(_integer(value, place))
        case float():
            out.append(_float(value, place))
        case list() | tuple() | dict():
            if depth >= MAX_DEPTH:
                whole = place.partition("[")[0]
                raise Unencodable(
                    whole, f"is nested too deep: {MAX_DEPTH} levels in all is the limit"
                )
            _write_container(value, place, depth + 1, out)
        case _:
            raise Unencodable(place, f"is {_describe(value)}, which JSON cannot hold")


def _write_container(
    value: list[Any] | tuple[Any, ...] | dict[Any, Any],
    place: str,
    depth: int,
    out: list[str],
) -> None:
    if isinstance(value, dict):
        out.append("{")
        for index, (key, item) in enumerate(value.items()):
            if not isinstance(key, str):
                raise Unencodable(
                    place, f"has the key {key!r}, and JSON keys are strings"
                )
            out.append("," if index else "")
            out.append(_string(key, f"{place}, key {key!r},"))
            out.append(":")
            _write(item, f"{place}[{key!r}]", depth, out)
        out.append("}")
        return
    out.append("[")
    for index, item in enumerate(value):
        out.append("," if index else "")
        _write(item, f"{place}[{index}]", depth, out)
    out.append("]")


def _string(value: str, place: str) -> str:
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Unencodable(
                place, "has a lone surrogate, which UTF-8 cannot hold"
            ) from None
    return encode_basestring(value)


def _integer(value: int, place: str) -> str:
    try:
        return int.__repr__(value)
    except ValueError:
        # Python stops writing integers at sys.get_int_max_str_digits().
        raise Unencodable(place, "is an integer too long to write") from None


def _float(value: float, place: str) -> str:
    if value - value != 0:  # NaN and the infinities
        raise Unencodable(place, f"is {value!r}, which JSON cannot hold")
    text = float.__repr__(value)
    mantissa, exponent, power = text.partition("e")
    # Ruby writes 1.0e+20 where Python writes 1e+20 (wire format 2.1).
    if exponent and "." not in mantissa:
        return f"{mantissa}.0e{power}"
    return text


def _describe(value: object) -> str:
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}"
