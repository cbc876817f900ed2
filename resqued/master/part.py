"""The interface between the loop of the master and its parts."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """A part of the master. The loop asks when it is due, and calls `turn` then."""

    def due(self, now: float) -> float:
        """Return when `turn` has something to do if nothing else happens, or NEVER.

        A time of the monotonic clock, in seconds.
        """

    def turn(self, now: float) -> None:
        """Do what is due, without blocking."""
