"""Whether a failure contains a text, in what the person who asks may see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from resqued.core.redaction import redacted

# What every writer of JSON leaves as it is. Some write / and < and > as escapes.
_PLAIN = re.compile(r"[\w .,:;=+*@#$%!?()\[\]{}|^~`-]*", re.ASCII)


class TextFilter(Struct, frozen=True):
    """Finds a text, in upper or lower case, in the fields of a failure.

    Arguments of the job are looked at only if `sees_args` is True, and never the values
    of the names in `hidden`, which no page shows: a search must not reveal them.
    """

    text: str
    sees_args: bool = True
    hidden: tuple[str, ...] = ()

    def has(self, entry: bytes, fields: Mapping[str, Any]) -> bool:
        """Return True if a failure has the text; `fields` is its decoded entry."""
        return self.may_have(entry) and self._has(fields)

    def may_have(self, entry: bytes) -> bool:
        """Return False only if the bytes show that the text is not there."""
        if not _PLAIN.fullmatch(self.text):
            return True
        return self.text.lower().encode() in entry.lower()

    def _has(self, fields: Mapping[str, Any]) -> bool:
        wanted = self.text.casefold()
        return any(wanted in text.casefold() for text in self._texts(fields))

    def _texts(self, fields: Mapping[str, Any]) -> Iterator[str]:
        for name, value in fields.items():
            if name != "payload":
                yield from _texts([value])
            elif isinstance(value, Mapping):
                yield from _texts([value.get("class")])
                if self.sees_args:
                    secret = {hidden.lower() for hidden in self.hidden}
                    yield from _texts([redacted(value.get("args"), secret)])


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts and numbers in JSON values, at any depth."""
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value
        elif value is not None:
            yield str(value)
