"""The result of importing the application in a separate process. Values only."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, convert

from resqued.core.limits import UNSET, Limits


class Import(Struct, frozen=True):
    """One import of the application.

    `error` is why it failed, "" if it did not. `threads` and `sockets` are those that
    it left behind, `declared` the names of its jobs. `class_error` is why the class
    that was asked for is not one of its jobs; `limits` and `queue` are those that this
    class declares.
    """

    modules: tuple[str, ...]
    error: str = ""
    seconds: float = 0.0
    threads: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    class_error: str = ""
    limits: Limits = UNSET
    queue: str = ""

    @classmethod
    def from_dict(cls, modules: tuple[str, ...], values: dict[str, Any]) -> Import:
        """Return the import from the values of a message."""
        return convert({"modules": modules, **values}, cls)
