"""HTML of the plain kind that our templates write, read quickly and strictly.

Only what can be read in one way is accepted: lower-case tags, quoted attributes, no
angle bracket outside a tag, each element closed. So no text can have become markup
where all elements and attributes are ours. html5lib finds more, at a hundred times the
cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

_NAME = r"[a-zA-Z][\w:-]*"
_ATTRIBUTE = re.compile(rf"""\s+({_NAME})(?:=(?:"([^"<>]*)"|'([^'<>]*)'))?""")
_TOKEN = re.compile(
    rf"""
    (?P<text> [^<>]+ )
    | <!doctype\ html>
    | <(?P<end> /)? (?P<name> [a-z][a-z0-9]*)
      (?P<attributes> (?: \s+ {_NAME} (?: ="[^"<>]*" | ='[^'<>]*' )? )* )
      \s* (?P<empty> /)? >
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BARE = re.compile(r"&(?!(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]*);)")
_VOID = frozenset(("meta", "link", "br", "hr", "img", "input", "wbr", "col", "base"))


def elements(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the attributes of each element; raise ValueError."""
    inside: list[str] = []
    at = 0
    while at < len(html):
        found = _TOKEN.match(html, at)
        if found is None or _BARE.search(found[0]):
            raise ValueError(f"no plain HTML at {html[at : at + 200]!r}")
        at, name = found.end(), found["name"]
        if not name:
            continue
        if found["end"]:
            if not inside or inside.pop() != name:
                raise ValueError(f"</{name}> closes nothing at {html[:at][-200:]!r}")
            continue
        yield name, _attributes(found["attributes"])
        if found["empty"] and name not in _VOID and "svg" not in inside:
            raise ValueError(f"<{name}/> is not closed at {html[:at][-200:]!r}")
        if not found["empty"] and name not in _VOID:
            inside.append(name)
    if inside:
        raise ValueError(f"not closed: {inside}")


def _attributes(text: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(text)
    return {name: unescape(double or single) for name, double, single in found}
