"""Tracks whether one connection to Redis is down, and when to try again.

Used by workers and by parts of the master. Logs the first failure of an outage and
its end, not each failure.
"""

from __future__ import annotations

import random

from resqued.core.backoff import Backoff
from resqued.errors import StoreError
from resqued.log.logger import Logger


class RedisAvailability:
    """Whether Redis is down for one connection, and when to try again.

    `ready_at` is the time of the next try (time.monotonic()); it lies in the past
    while Redis is up.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._backoff = Backoff(first=0.1, cap=2.0)
        # Whether the last try failed; when to try again, in the past if it did not.
        # hot path: made-once
        self.is_down = False
        self.ready_at = self._backoff.ready_at

    def begin(self, error: StoreError, now: float) -> None:
        """Record a try that failed at the time `now`; each doubles the wait, to 2 s."""
        if not self.is_down:
            self._log.warning("redis_lost", error=str(error))
        self._wait(self._backoff.failed(now, random.random()))

    def end(self) -> bool:
        """Record a successful try; return True if Redis was down before."""
        if not self.is_down:
            return False
        self._log.info("redis_restored")
        self._wait(self._backoff.succeeded())
        return True

    def _wait(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.is_down = backoff.failures > 0
        self.ready_at = backoff.ready_at
