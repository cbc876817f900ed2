"""The Lua scripts of resqued/lua, called by their digest."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from resqued.store.connection import Link, translated


@cache
def _source(name: str) -> tuple[str, str]:
    text = files("resqued").joinpath("lua", f"{name}.lua").read_text("utf-8")
    # A name for the script, not a secret: Redis calls scripts by SHA-1.
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Script:
    """One script; all of them may be asked again when a reply was lost."""

    def __init__(self, name: str) -> None:
        self._text, self._digest = _source(name)

    def __call__(
        self,
        link: Link,
        keys: list[str] | tuple[str, ...],
        args: list[str | bytes] | tuple[str | bytes, ...],
    ) -> Any:
        """Run the script; the server learns it when it does not know it yet."""
        with translated(link.url):
            call = link.redis.execute_command
            try:
                return call("EVALSHA", self._digest, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                return call("EVAL", self._text, len(keys), *keys, *args)
