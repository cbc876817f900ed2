"""What came of importing the application in a process of its own: values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resqued.core.limits import UNSET, Limits


@dataclass(frozen=True, slots=True)
class Import:
    """One import of the application.

    `error` says why it failed, nothing if it did not. `threads` and `sockets` are
    what it left behind, `declared` the names of its jobs. `class_error` says why
    the class that was asked for is none of its jobs; `limits` are that class's own, and
    `queue` is the one that it declares.
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
        """Return the import that a message tells of."""
        found = dict(values)
        found["limits"] = Limits(*found.get("limits", UNSET))
        for key in ("threads", "sockets", "declared"):
            found[key] = tuple(found.get(key, ()))
        return cls(modules, **found)
