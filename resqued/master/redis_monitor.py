"""Regular checks that the Redis of this master answers and accepts writes.

Runs in the master. Every few seconds it makes one write, which changes nothing: reads
do not show that a server has become a replica, or is full. The result is shown in the
title of the master, in its status, and by systemd.
"""

from __future__ import annotations

from collections.abc import Callable

from resqued.core.timings import Timings
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.store.availability import RedisAvailability
from resqued.store.connection import SingleLink
from resqued.store.registry import Registry
from resqued.store.store_errors import WritesRefusedError


class RedisMonitor:
    """A part of the master's loop; `link` is the connection of the registry."""

    def __init__(
        self,
        link: SingleLink,
        registry: Registry,
        log: Logger,
        timings: Timings,
    ) -> None:
        self._link = link
        self._registry = registry
        # The URL that the configuration has now: a reload may change it.
        self.url: Callable[[], str] = lambda: link.url
        self._log = log
        # Called when the primary is another server than before.
        self.on_moved: Callable[[], None] = lambda: None
        # The address of the primary; "" before the first check, or of a Unix socket.
        self.place = ""
        self._interval = timings.redis_check_interval
        self._check_at = 0.0
        self._redis = RedisAvailability(log)

    @property
    def is_down(self) -> bool:
        """Whether the last try failed; the next one is soon."""
        return self._redis.is_down

    @property
    def error(self) -> str:
        """Why Redis cannot be used; "" if it can."""
        return "" if self._redis.error is None else str(self._redis.error)

    @property
    def problem(self) -> str:
        """The same in a few words, for titles; "" if Redis can be used."""
        if self._redis.error is None:
            return ""
        refuses = isinstance(self._redis.error, WritesRefusedError)
        return "redis refuses writes" if refuses else "redis is away"

    @property
    def primary(self) -> str:
        """The address of the primary, if it can move; "" if it cannot."""
        return self.place if self._link.locator.can_move else ""

    def check_soon(self) -> None:
        """Check at the next turn: another connection of the master was lost."""
        self._check_at = 0.0

    def due(self, _now: float) -> float:
        """Return when the next check is due."""
        return self._redis.ready_at if self._redis.is_down else self._check_at

    def turn(self, now: float) -> None:
        """Check Redis, if that is due; move to another URL if the configuration has."""
        if (url := self.url()) != self._link.url:
            self._link.use(url)
            self.place, self._check_at = "", now
            self.on_moved()
        if now < self.due(now):
            return
        self._check_at = now + self._interval
        try:
            self._link.check_place()
            self._registry.check_writes()
            self._redis.end(lambda: None)
            self._follow(self._link.place)
        except StoreError as error:
            self._link.close()
            self._redis.begin(error, now)

    def _follow(self, place: str) -> None:
        """Have all connections moved if the primary is another server."""
        before, self.place = self.place, place or self.place
        if before and place and place != before:
            self._log.warning("redis_moved", redis=place, before=before)
            self.on_moved()
