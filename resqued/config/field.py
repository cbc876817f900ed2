"""One key of the configuration, as the tables of keys have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Field(Struct, frozen=True):
    """One key of the file.

    `read` checks and converts a value, or raises ValueError; see readers. `meaning` is
    the comment in `resqued config example`. `example` is the value shown there, as
    TOML; if it is empty, the default is shown.
    """

    section: str
    key: str
    read: Callable[[Any], Any]
    default: Any
    meaning: str
    example: str = ""
