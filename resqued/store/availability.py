"""Redis away, as one who uses it sees it: when to try again, and word of it.

For the master's parts and for workers: the first failure is told, not each one, and
so is the return.
"""

from __future__ import annotations

import random

from resqued.core.backoff import Backoff
from resqued.errors import StoreError
from resqued.log.logger import Logger


class RedisAvailability:
    """Says when Redis may be asked, for one connection to it."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._backoff = Backoff(first=0.1, cap=2.0)
        # Whether the last try failed; when to try again, in the past if it did not.
        # hot path: made-once
        self.is_down = False
        self.ready_at = self._backoff.ready_at

    def begin(self, error: StoreError, now: float) -> None:
        """A try has failed: wait, the longer the more have failed."""
        if not self.is_down:
            self._log.warning("redis_lost", error=str(error))
        self._wait(self._backoff.failed(now, random.random()))

    def end(self) -> bool:
        """A try has succeeded; answer whether Redis had been away."""
        if not self.is_down:
            return False
        self._log.info("redis_restored")
        self._wait(self._backoff.succeeded())
        return True

    def _wait(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.is_down = backoff.failures > 0
        self.ready_at = backoff.ready_at
