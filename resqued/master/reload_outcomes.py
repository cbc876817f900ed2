"""The results of reloads, of which the newest is kept for requests that wait."""

from __future__ import annotations

import time
from typing import NamedTuple

from resqued.log.logger import Logger


class ReloadOutcome(NamedTuple):
    """The result of a reload; an empty error means success."""

    generation: int
    error: str = ""


class ReloadOutcomes:
    """Logs each result, and keeps the one of the newest generation."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self.newest: ReloadOutcome | None = None
        # When the newest one was added, in seconds after the epoch.
        self.newest_at = 0.0

    def add(self, generation: int, error: str = "") -> None:
        """Record the result of the reload that began a generation."""
        result = ReloadOutcome(generation, error)
        # An older reload may end after a newer one was refused; its result is dropped.
        if self.newest is None or generation >= self.newest.generation:
            self.newest, self.newest_at = result, time.time()
        if error:
            self._log.error("reload_failed", generation=generation, error=error)
        else:
            self._log.info("reload_done", generation=generation)
