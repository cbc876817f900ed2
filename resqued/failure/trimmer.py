"""Keeps the lists of failures within `max_failures` and `max_age`; off by default.

Runs in the master, one small step at each turn, so that signals never wait.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.timings import NEVER
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.store.connection import SingleLink
from resqued.store.trimming import Trimming
from resqued.wire.keys import Keys


class FailureTrimmer:
    """Removes the oldest failures; a part of the master."""

    def __init__(self, config: Callable[[], Config], log: Logger) -> None:
        self._config = config
        self._log = log
        self._link: SingleLink | None = None
        self._round: Iterator[None] | None = None
        self._next = 0.0
        self._backoff = Backoff(first=1.0, cap=60.0)

    @property
    def _is_on(self) -> bool:
        app = self._config().app
        return bool(app.max_failures or app.max_failure_age)

    def due(self, now: float) -> float:
        """Return when `turn` has something to do."""
        if not self._is_on:
            return NEVER
        if self._round is not None:
            return now
        return max(self._next, self._backoff.ready_at)

    def turn(self, now: float) -> None:
        """Take one step of a round, or begin one if it is due."""
        if not self._is_on or now < self.due(now):
            return
        app = self._config().app
        if self._link is None:
            self._link = SingleLink(
                app.url, timeout=app.master_timeout, namespace=app.namespace
            )
        try:
            if self._round is None:
                interval = app.timings.trim_interval
                self._next = now + interval * random.uniform(0.9, 1.1)
                self._round = self._trim(self._link)
            if next(self._round, self) is self:
                self._round = None
            self._backoff = self._backoff.succeeded()
        except StoreError:  # the monitor of Redis says so
            self._link.close()
            self._round = self._link = None
            self._backoff = self._backoff.failed(now, random.random())

    def close(self) -> None:
        """Close the connection; the next turn opens another."""
        if self._link is not None:
            self._link.close()
        self._round = self._link = None

    def _trim(self, link: SingleLink) -> Iterator[None]:
        """Trim each list, a step at a time."""
        app = self._config().app
        trimming = Trimming(link, Keys(app.namespace))
        before = link.time() - app.max_failure_age
        for name in trimming.lists():
            removed: Counter[str] = Counter()
            while app.max_failures and (
                count := trimming.by_number(name, app.max_failures)
            ):
                removed["max_failures"] += count
                yield
            while app.max_failure_age and (count := trimming.by_age(name, before)):
                removed["max_age"] += count
                yield
            for reason, count in removed.items():
                self._log.info(
                    "failures_trimmed", list=name, failures=count, reason=reason
                )
            yield
