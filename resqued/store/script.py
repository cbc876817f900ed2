"""The Lua scripts of store/lua, called by their digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from resqued.store.connection import Link, SingleLink, Word, encoded
from resqued.store.redis_errors import ScriptUnknownError

_FOLDER = Path(__file__).with_name("lua")


# A line of a script that stands for the text of another file.
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text("utf-8")


@cache
def _source(name: str) -> tuple[str, str]:
    text = _INCLUDE.sub(lambda found: _text(f"include/{found[1]}"), _text(name))
    # A name for the script, not a secret: Redis calls scripts by SHA-1.
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Script:
    """One script; every script can be repeated safely when a reply was lost."""

    def __init__(self, name: str) -> None:
        self._text, self._digest = _source(name)

    def each(
        self, link: Link, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes]]]
    ) -> list[Any]:
        """Run the script once for each (keys, args), all in one round trip."""
        commands: list[tuple[Word, ...]] = [("SCRIPT", "LOAD", self._text)]
        for keys, args in calls:
            commands.append(("EVALSHA", self._digest, len(keys), *keys, *args))
        return link.pipeline(commands)[1:]

    def __call__(
        self,
        link: Link,
        keys: Sequence[str],
        args: Sequence[str | bytes],
    ) -> Any:
        """Run the script; its text is sent only if the server does not know it yet."""
        try:
            return link.call("EVALSHA", self._digest, len(keys), *keys, *args)
        except ScriptUnknownError:
            return link.call("EVAL", self._text, len(keys), *keys, *args)

    def prepare(
        self,
        keys: Sequence[str],
        first: Sequence[str | bytes],
        last: Sequence[str | bytes],
        *,
        room: int,
    ) -> Prepared:
        """Return a prepared call, of which only `room` arguments in the middle change.

        `first` are the arguments before them, `last` those after them.
        """
        words = ["EVALSHA", self._digest, str(len(keys)), *keys, *first]
        head = b"*%d\r\n%b" % (
            len(words) + room + len(last),
            b"".join(map(_bulk, words)),
        )
        tail = b"".join(map(_bulk, last))
        form = _escaped(head) + b"$%d\r\n%b\r\n" * room + _escaped(tail)
        return Prepared(self, keys, first, last, form)


class Prepared(Struct, frozen=True):
    """A call that is made for every job, packed into its wire format in advance.

    hot path: packed-call
    """

    script: Script
    keys: Sequence[str]
    first: Sequence[str | bytes]
    last: Sequence[str | bytes]
    # The whole command, with a placeholder for length and bytes of each argument.
    form: bytes

    def __call__(self, link: SingleLink, *args: bytes) -> Any:
        """Run the script with `args` as the changing arguments."""
        words: list[bytes | int] = []
        for arg in args:
            words += (len(arg), arg)
        try:
            return link.call_packed(self.form % tuple(words))
        except ScriptUnknownError:
            return self.script(link, self.keys, (*self.first, *args, *self.last))


def _escaped(form: bytes) -> bytes:
    return form.replace(b"%", b"%%")


def _bulk(word: str | bytes) -> bytes:
    """Return a word as Redis reads it (RESP, bulk strings)."""
    data = encoded(word)
    raw = data if isinstance(data, bytes) else str(data).encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)
