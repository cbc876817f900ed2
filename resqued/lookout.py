"""Looking out for new jobs, for all idle workers of this master at once.

Runs in the master. Looks when Redis says that a queue has changed, when a worker
becomes idle, and at an interval, as a safety net and for servers without word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from resqued.core import wake
from resqued.core.backoff import Backoff
from resqued.errors import StoreError
from resqued.slot import Slot
from resqued.store.watch import Look, Watch


class Lookout:
    """Wakes idle workers, one for each job."""

    def __init__(
        self, watch: Watch, interval: float, log: FilteringBoundLogger
    ) -> None:
        self._watch = watch
        self._interval = interval
        self._log = log
        self._is_open = False
        self._is_due = True
        self._was_paused = False
        self._look_at = 0.0
        self._redis = Backoff(first=0.1, cap=2.0)

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, if there is one now."""
        return self._watch.fileno() if self._is_open else None

    def expect(self) -> None:
        """A worker has become idle: the next turn looks."""
        self._is_due = True

    def hear(self, now: float) -> None:
        """Take in what the server said."""
        try:
            self._watch.drain()
        except StoreError as error:
            self._lose(error, now)
        self._is_due = True

    def deadline(self, idle: int) -> float | None:
        """Return when turn has something to do, with so many idle workers."""
        if not self._is_open:
            return self._redis.ready_at
        return (0.0 if self._is_due else self._look_at) if idle else None

    def turn(self, now: float, slots: Sequence[Slot]) -> None:
        """Look, if it is due and anybody is idle, and wake who has work."""
        if now < self._redis.ready_at:
            return
        idle = [slot for slot in slots if slot.worker and slot.worker.is_idle]
        try:
            if not self._is_open:
                self._open(idle)
            if idle and (self._is_due or now >= self._look_at):
                self._look_at = now + self._interval * random.uniform(0.9, 1.1)
                look = self._watch.look(slot.queues for slot in idle)
                self._is_due = self._watch.has_word
                self._act_on(look, idle)
        except StoreError as error:
            self._lose(error, now)

    def _open(self, idle: Sequence[Slot]) -> None:
        self._watch.open()
        self._is_open = True
        self._is_due = True
        if not self._watch.is_tracking:
            self._log.warning("redis_without_tracking", interval=self._interval)
        if self._redis.failures:
            self._redis = self._redis.succeeded()
            self._log.info("redis_restored")
            # A server that lost its data has forgotten the workers: let all see.
            _wake(idle)

    def _act_on(self, look: Look, idle: Sequence[Slot]) -> None:
        if look.is_paused != self._was_paused:
            self._was_paused = look.is_paused
            _wake(idle)
        elif not look.is_paused:
            _wake(wake.whom(look.lengths, [(slot, slot.queues) for slot in idle]))

    def _lose(self, error: StoreError, now: float) -> None:
        if not self._redis.failures:
            self._log.warning("redis_lost", error=str(error))
        self._is_open = False
        self._watch.close()
        self._redis = self._redis.failed(now, random.random())

    def close(self) -> None:
        """Give the connection up."""
        self._is_open = False
        self._watch.close()


def _wake(slots: Sequence[Slot]) -> None:
    for slot in slots:
        if slot.worker is not None:
            slot.worker.is_idle = False
            slot.worker.order("wake")
