"""A link to Redis at which others act before each command, and whose caller can die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resqued.store.connection import Link


class Death(BaseException):
    """The end of a caller, who does nothing any more."""


class WatchedLink(Link):
    """A link that calls `before` ahead of each command, and can die before or after."""

    def __init__(self, url: str, before: Callable[[], None]) -> None:
        super().__init__(url)
        self.before = before
        self.calls_left = -1
        self.dies_after_it = False

    def call(self, *command: Any) -> Any:
        if self.calls_left == 0:
            raise Death
        self.before()
        self.calls_left -= 1
        reply = super().call(*command)
        if self.calls_left == 0 and self.dies_after_it:
            raise Death
        return reply
