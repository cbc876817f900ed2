"""Tracks whether one connection to Redis is down, and when to try again.

Used by workers and by parts of the master. Logs an outage and its end, not each
failure. Redis is back only when a write is answered: a replica answers reads.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from resqued.core.backoff import Backoff
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.store.store_errors import DisconnectedError


class RedisAvailability:
    """Whether Redis is down for one connection, and when to try again.

    `ready_at` is the time of the next try (time.monotonic()); it lies in the past
    while Redis is up. `error` is the reason of an outage, None without one.

    A closed connection alone is no outage: servers and firewalls close idle ones. It
    becomes one if the next try fails too, after about 0.1 s.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._backoff = Backoff(first=0.1, cap=2.0)
        # Whether the last try failed; when to try again, in the past if it did not.
        # hot path: made-once
        self.is_down = False
        self.ready_at = self._backoff.ready_at
        self.error: StoreError | None = None
        self._has_reconnected = False

    def begin(self, error: StoreError, now: float) -> None:
        """Record a try that failed at the time `now`; each doubles the wait, to 2 s."""
        if self.is_down or not isinstance(error, DisconnectedError):
            if self.error is None:
                self._log.warning("redis_lost", error=str(error))
            self.error = error
        self._wait(self._backoff.failed(now, random.random()))

    def end(self, check_writes: Callable[[], None]) -> bool:
        """Record a successful try; return True if Redis was down before.

        If it was, `check_writes` must succeed too; its errors are raised.
        """
        if not self.is_down:
            return False
        check_writes()
        if self.error is not None:
            self.error = None
            self._log.info("redis_restored")
        elif not self._has_reconnected:
            # Once: a server that closes idle connections does so every time.
            self._has_reconnected = True
            self._log.info("redis_reconnected")
        self._wait(self._backoff.succeeded())
        return True

    def _wait(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.is_down = backoff.failures > 0
        self.ready_at = backoff.ready_at
