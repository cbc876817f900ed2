"""Looking out for new jobs, for all idle workers of this master at once.

Runs in the master. Looks when Redis says that a queue has changed, when a worker
becomes idle, and at an interval, as a safety net and for servers without word. Whoever
pushes to an empty queue has a worker woken before the look.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.master import wakeups
from resqued.master.slot import WorkerHandle
from resqued.store.availability import RedisAvailability
from resqued.store.queue_tracking import QueueSnapshot, QueueTracking

# What an idle worker takes to take a job. A look before that would wake another for
# the same one, and have the server tell of the taking.
WAKE_GRACE = 0.002


class QueueWatcher:
    """Wakes idle workers, one for each job."""

    def __init__(self, watch: QueueTracking, interval: float, log: Logger) -> None:
        self._watch = watch
        self.interval = interval
        self._log = log
        self._is_open = False
        self._was_paused = False
        self._look_at = 0.0
        # Queues that were empty, and are not.
        self._pushed: list[str] = []
        self._redis = RedisAvailability(log)

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, if there is one now."""
        return self._watch.fileno() if self._is_open else None

    def poll_now(self) -> None:
        """A worker has become idle: the next turn looks."""
        self._look_at = 0.0

    def hear(self, now: float) -> None:
        """Take in what the server said."""
        try:
            self._pushed = self._watch.drain()
        except StoreError as error:
            self._lose(error, now)
        self._look_at = 0.0

    def deadline(self, idle: int) -> float | None:
        """Return when turn has something to do, with so many idle workers."""
        if not self._is_open:
            return self._redis.ready_at
        return self._look_at if idle else None

    def turn(self, now: float, workers: Sequence[WorkerHandle]) -> None:
        """Look, if it is due and anybody is idle, and wake who has work."""
        if now < self._redis.ready_at:
            return
        idle = [worker for worker in workers if worker.is_idle]
        try:
            if not self._is_open:
                self._open(idle)
            if self._pushed:
                idle = self._wake_at_once(now, idle)
            if idle and now >= self._look_at:
                look = self._watch.look(worker.served for worker in idle)
                wait = self.interval * random.uniform(0.9, 1.1)
                self._look_at = 0.0 if self._watch.has_changed else now + wait
                self._act_on(look, idle)
        except StoreError as error:
            self._lose(error, now)

    def _wake_at_once(
        self, now: float, idle: Sequence[WorkerHandle]
    ) -> list[WorkerHandle]:
        """Wake one for each queue that was pushed to; return who is idle still."""
        pushed = dict.fromkeys(self._pushed, 1)
        self._pushed = []
        woken = wakeups.workers_to_wake(
            pushed, [(worker, worker.served) for worker in idle]
        )
        _wake(woken)
        if woken:
            self._look_at = now + WAKE_GRACE
        return [worker for worker in idle if worker.is_idle]

    def _open(self, idle: Sequence[WorkerHandle]) -> None:
        self._watch.open()
        self._is_open = True
        self._look_at = 0.0
        if not self._watch.is_tracking:
            self._log.warning("redis_without_tracking", interval=self.interval)
        if self._redis.end():
            # A server that lost its data has forgotten the workers: let all see.
            _wake(idle)

    def _act_on(self, look: QueueSnapshot, idle: Sequence[WorkerHandle]) -> None:
        if look.is_paused != self._was_paused:
            self._was_paused = look.is_paused
            _wake(idle)
        elif not look.is_paused:
            _wake(
                wakeups.workers_to_wake(
                    look.lengths, [(worker, worker.served) for worker in idle]
                )
            )

    def _lose(self, error: StoreError, now: float) -> None:
        self._is_open = False
        self._pushed = []
        self._watch.close()
        self._redis.begin(error, now)

    def close(self) -> None:
        """Give the connection up."""
        self._is_open = False
        self._watch.close()


def _wake(workers: Sequence[WorkerHandle]) -> None:
    for worker in workers:
        worker.is_idle = False
        worker.order("wake")
