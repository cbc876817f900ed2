"""Templates and routes that are compiled once for all sites of a test process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import Rule

Builder = Callable[..., Any]


class KeptTemplates(BytecodeCache):
    """Keeps compiled templates in memory, by their text."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template its code, if one like it has been compiled before."""
        if code := self._kept.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self._kept[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


def kept_builders(compile_builder: Builder) -> Builder:
    """Return Werkzeug's `Rule._compile_builder`, which compiles each route once.

    What it returns depends on the route alone. It takes more than half of the time
    in which a site is made.
    """
    kept: dict[tuple[Any, ...], Builder] = {}

    def compiled(self: Rule, append_unknown: bool = True) -> Builder:
        key = (self.rule, append_unknown, *self._trace)
        if key not in kept or self.defaults:
            kept[key] = compile_builder(self, append_unknown)
        return kept[key]

    return compiled
