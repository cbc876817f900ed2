"""The keys of a namespace, for a page that shows them: names, types, sizes, values.

Only reads, a part at a time: SCAN and never KEYS, and of a value one page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from resqued.store.connection import Link, Word
from resqued.wire.keys import Keys, prefix_of

# Keys that the server looks at in one step, and steps until a page is shown as it is.
STEP = 500
MOST_STEPS = 20
# Elements of a value on one page, and the most bytes of a text.
ROWS = 50
LONGEST = 10_000

_SIZES = {
    "string": ("STRLEN",),
    "list": ("LLEN",),
    "set": ("SCARD",),
    "zset": ("ZCARD",),
    "hash": ("HLEN",),
    "stream": ("XLEN",),
}
_GLOB = re.compile(r"([\\*?\[\]^-])")


class KeyFacts(Struct, frozen=True):
    """A key without its namespace. `size` is in elements, or bytes of a string."""

    name: str
    kind: str
    size: int


class KeyPage(Struct, frozen=True):
    """Some keys, and the cursor of the next ones; "0" if there are no more."""

    keys: Sequence[KeyFacts]
    cursor: str


class KeyValue(Struct, frozen=True):
    """A part of the value of a key.

    `rows` are labels, such as an index or a field, and values. `lifetime` are the
    seconds until the key expires; None if it does not. `cursor` is where the next part
    begins; "" if there is none.
    """

    facts: KeyFacts
    lifetime: int | None
    rows: Sequence[tuple[str, bytes]]
    cursor: str = ""


class KeyBrowser:
    """The keys of one namespace. Each method raises StoreError if Redis fails."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._prefix = prefix_of(keys)

    def page(self, cursor: str = "0", text: str = "") -> KeyPage:
        """Return keys whose names contain a text, from a cursor on.

        Stops after some steps even if few were found, since a namespace may have few
        keys in a large database.
        """
        pattern = f"{_escaped(self._prefix)}*"
        if text:
            pattern += f"{_escaped(text)}*"
        found: list[bytes] = []
        for _ in range(MOST_STEPS):
            reply, names = self._link.call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", STEP
            )
            cursor = _text(reply)
            found += names
            if cursor == "0" or len(found) >= STEP // 5:
                break
        return KeyPage(self._facts(sorted(set(found))), cursor)

    def _facts(self, names: Sequence[bytes]) -> list[KeyFacts]:
        """Return type and size of keys, in two round trips."""
        kinds = [
            _text(kind)
            for kind in self._link.read_each([("TYPE", _text(n)) for n in names])
        ]
        commands: list[tuple[Word, ...]] = [
            (*_SIZES.get(kind, ("EXISTS",)), _text(name))
            for name, kind in zip(names, kinds, strict=True)
        ]
        sizes = self._link.read_each(commands)
        start = len(self._prefix)
        return [
            KeyFacts(_text(name)[start:], kind, size or 0)
            for name, kind, size in zip(names, kinds, sizes, strict=True)
            if kind != "none"
        ]

    def read(self, name: str, cursor: str = "") -> KeyValue | None:
        """Return a part of a value from a cursor on; None if there is no such key."""
        key = f"{self._prefix}{name}"
        found = self._facts([key.encode("utf-8", "surrogateescape")])
        if not found:
            return None
        (facts,) = found
        (left,) = self._link.pipeline([("TTL", key)])
        lifetime = int(left) if int(left) >= 0 else None
        rows, after = self._rows(key, facts, cursor)
        return KeyValue(facts, lifetime, rows, after)

    def _rows(
        self, key: str, facts: KeyFacts, cursor: str
    ) -> tuple[list[tuple[str, bytes]], str]:
        match facts.kind:
            case "string":
                text = self._link.call("GETRANGE", key, 0, LONGEST - 1)
                return [("", text)], ""
            case "list" | "zset":
                return self._ranked(key, facts, _number(cursor))
            case "set" | "hash":
                return self._scanned(key, facts, _number(cursor))
            case "stream":
                return self._entries(key, cursor)
            case _:
                return [], ""

    def _ranked(
        self, key: str, facts: KeyFacts, start: int
    ) -> tuple[list[tuple[str, bytes]], str]:
        last = start + ROWS - 1
        after = str(last + 1) if last + 1 < facts.size else ""
        if facts.kind == "list":
            listed = self._link.call("LRANGE", key, start, last)
            return [(str(start + n), one) for n, one in enumerate(listed)], after
        reply = self._link.call("ZRANGE", key, start, last, "WITHSCORES")
        return [(_score(score), member) for member, score in _pairs(reply)], after

    def _scanned(
        self, key: str, facts: KeyFacts, start: int
    ) -> tuple[list[tuple[str, bytes]], str]:
        """Return elements in the server's order; all of them of a small value."""
        if facts.kind == "set":
            reply, members = self._link.call("SSCAN", key, start, "COUNT", ROWS)
            rows = [("", member) for member in sorted(members)]
        else:
            reply, fields = self._link.call("HSCAN", key, start, "COUNT", ROWS)
            rows = [(_text(name), one) for name, one in sorted(_pairs(fields))]
        return rows, "" if _text(reply) == "0" else _text(reply)

    def _entries(self, key: str, before: str) -> tuple[list[tuple[str, bytes]], str]:
        """Return entries of a stream, the newest first."""
        is_place = re.fullmatch(r"\d{1,20}-\d{1,20}", before)
        last = f"({before}" if is_place else "+"
        found = self._link.call("XREVRANGE", key, last, "-", "COUNT", ROWS)
        rows = [
            (_text(place), b" ".join(b"%s=%s" % pair for pair in _pairs(fields)))
            for place, fields in found
        ]
        return rows, rows[-1][0] if len(rows) == ROWS else ""


def _escaped(text: str) -> str:
    """Return a text that a pattern of SCAN takes literally."""
    return _GLOB.sub(r"\\\1", text)


def _text(word: Any) -> str:
    if isinstance(word, bytes):
        return word.decode("utf-8", "surrogateescape")
    return str(word)


def _number(cursor: str) -> int:
    return int(cursor) if cursor.isdecimal() else 0


def _score(score: Any) -> str:
    number = float(score)
    return f"{number:.0f}" if number.is_integer() else str(number)


def _pairs(reply: Any) -> Iterable[tuple[Any, Any]]:
    """Return the pairs of a reply, which versions of the protocol nest in two ways."""
    if isinstance(reply, Mapping):
        return [(name, value) for name, value in reply.items()]
    if reply and isinstance(reply[0], list | tuple):
        return [(first, second) for first, second in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))
