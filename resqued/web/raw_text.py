"""Bytes from Redis as a page shows them: cut, and without what is to be hidden."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from resqued.core.redaction import HIDDEN, redacted
from resqued.core.visible_text import shortened
from resqued.web.site import site

# The most characters of one value.
MOST = 2_000


def shown_bytes(raw: bytes) -> str:
    """Return the text of a value, in which settings hide arguments of jobs.

    Bytes that are no UTF-8 come as escapes. Without anything to hide, the text is that
    of Redis; else JSON is written again.
    """
    text = raw.decode("utf-8", "backslashreplace")
    secret = {name.lower() for name in site().settings.redact}
    if secret and raw[:1] in b"{[":
        try:
            text = json.dumps(_without(json.loads(raw), secret), ensure_ascii=False)
        except (ValueError, RecursionError):
            text = HIDDEN if _names_one(text, secret) else text
    return shortened(text, MOST)


def _names_one(text: str, secret: Collection[str]) -> bool:
    """Return True if JSON that was cut, or is none, contains the name of a secret."""
    lower = text.lower()
    return any(name in lower for name in secret)


def _without(value: Any, secret: Collection[str]) -> Any:
    """Return a JSON value without secrets; arguments of jobs have names by class."""
    if isinstance(value, list):
        return [_without(each, secret) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _without(each, secret) for name, each in value.items()}
    args, class_name = found.get("args"), found.get("class")
    if isinstance(args, list) and isinstance(class_name, str):
        names = site().argument_names(class_name)
        for index in range(len(args)):
            if names is None or (index < len(names) and names[index].lower() in secret):
                args[index] = HIDDEN
    return redacted(found, secret)
