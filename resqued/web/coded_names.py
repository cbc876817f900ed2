"""Names in URLs and forms as base64: Redis has names that no text can carry."""

from __future__ import annotations

import base64

from resqued.core.visible_text import bytes_of


def encoded_name(name: str) -> str:
    """Return a name as URLs and forms carry it; `read_name` reads it."""
    return base64.urlsafe_b64encode(bytes_of(name)).decode()


def read_name(text: str) -> str:
    """Return the name of `encoded_name`; raise ValueError for other texts."""
    raw = base64.b64decode(text, b"-_", validate=True)
    return raw.decode("utf-8", "surrogateescape")
