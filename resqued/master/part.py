"""What the master's loop asks of each of its parts."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """A part of the master: the loop asks when it is due, and lets it act."""

    def due(self, now: float) -> float:
        """Return when `turn` has something to do if nothing else happens, or NEVER."""

    def turn(self, now: float) -> None:
        """Do what is due; return soon, and never block."""
