"""Redis away, as one who uses it sees it: when to try again, and word of it.

For the master's parts and for workers: the first failure is told, not each one, and
so is the return.
"""

from __future__ import annotations

import random

from structlog.typing import FilteringBoundLogger

from resqued.core.backoff import Backoff
from resqued.errors import StoreError


class Outage:
    """Says when Redis may be asked, for one connection to it."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._backoff = Backoff(first=0.1, cap=2.0)

    @property
    def is_on(self) -> bool:
        """Whether the last try failed."""
        return self._backoff.failures > 0

    @property
    def ready_at(self) -> float:
        """When to try again; in the past if Redis is there."""
        return self._backoff.ready_at

    def begin(self, error: StoreError, now: float) -> None:
        """A try has failed: wait, the longer the more have failed."""
        if not self.is_on:
            self._log.warning("redis_lost", error=str(error))
        self._backoff = self._backoff.failed(now, random.random())

    def end(self) -> bool:
        """A try has succeeded; answer whether Redis had been away."""
        if not self.is_on:
            return False
        self._log.info("redis_restored")
        self._backoff = self._backoff.succeeded()
        return True
