"""The search for new jobs, for all idle workers of this master together.

Runs in the master. It looks at the queues when Redis reports a changed queue, when a
worker becomes idle, and at an interval, for messages that are lost and for servers
that send none. After a push to an empty queue a worker is woken before the look.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from resqued.core.timings import NEVER
from resqued.errors import StoreError
from resqued.ipc.messages import Reconnect, Wake
from resqued.log.logger import Logger
from resqued.master import wakeups
from resqued.master.worker_handle import WorkerHandle
from resqued.store.availability import RedisAvailability
from resqued.store.queue_tracking import QueueSnapshot, QueueTracking
from resqued.system.poller import Poller

# How long a woken worker needs to take a job, in seconds. A look before that would
# wake another worker for the same job, and make the server report its removal.
WAKE_GRACE = 0.002


class QueueWatcher:
    """Wakes idle workers, one for each job."""

    def __init__(
        self,
        tracking: QueueTracking,
        interval: Callable[[], float],
        serving: Callable[[], Sequence[WorkerHandle]],
        poller: Poller,
        log: Logger,
    ) -> None:
        self._tracking = tracking
        self._serving = serving
        self._poller = poller
        self._interval = interval
        self._log = log
        # Called when the connection is lost.
        self.on_lost: Callable[[], None] = lambda: None
        self._is_open = False
        self._fd: int | None = None
        self._was_paused = False
        # Queues whose keys are of another type, and that were logged.
        self._odd: set[str] = set()
        self._look_at = 0.0
        # Queues that were empty and have received a job.
        self._pushed: list[str] = []
        self._redis = RedisAvailability(log)

    def poll_now(self) -> None:
        """Make the next turn look at the queues, because a worker became idle."""
        self._look_at = 0.0

    def hear(self, now: float) -> None:
        """Read the messages of the server."""
        try:
            self._pushed = self._tracking.drain()
        except StoreError as error:
            self._lose(error, now)
        self._look_at = 0.0

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        if not self._is_open:
            return self._redis.ready_at
        # Only serving workers are woken: one that leaves, or that may not begin yet,
        # waits for no job.
        is_any_idle = any(worker.is_idle for worker in self._serving())
        return self._look_at if is_any_idle else NEVER

    def turn(self, now: float) -> None:
        """Look at the queues, if that is due and a worker is idle; wake the workers."""
        if now < self._redis.ready_at:
            return
        idle = [worker for worker in self._serving() if worker.is_idle]
        try:
            if not self._is_open:
                self._open(idle)
            if self._tracking.was_emptied:
                # The server has lost the registrations too; woken workers register
                # again.
                self._tracking.was_emptied = False
                _wake((worker, ()) for worker in idle)
                idle = []
            if self._pushed:
                idle = self._wake_at_once(now, idle)
            if idle and now >= self._look_at:
                look = self._tracking.look((worker.served for worker in idle), now)
                again_at = self._tracking.again_at(now)
                wait = self._interval() * random.uniform(0.9, 1.1)
                self._look_at = now + wait if again_at is None else again_at
                self._act_on(look, idle)
        except StoreError as error:
            self._lose(error, now)

    def _wake_at_once(
        self, now: float, idle: Sequence[WorkerHandle]
    ) -> list[WorkerHandle]:
        """Wake one worker for each queue with a push; return the workers still idle."""
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
        self._tracking.open()
        self._is_open = True
        self._fd = self._tracking.fileno()
        if self._fd is not None:
            self._poller.register(self._fd, self.hear)
        self._look_at = 0.0
        if not self._tracking.is_tracking:
            self._log.warning("redis_without_tracking", interval=self._interval())
        if self._redis.end(self._tracking.check_writes):
            # If the server has lost the registrations, woken workers register again.
            _wake((worker, ()) for worker in idle)

    def _act_on(self, look: QueueSnapshot, idle: Sequence[WorkerHandle]) -> None:
        # Workers with many queues are told which have jobs, and never see these.
        for queue in set(look.odd) - self._odd:
            self._odd.add(queue)
            self._log.error("queue_wrong_type", queue=queue)
        if look.is_paused != self._was_paused:
            self._was_paused = look.is_paused
            _wake(
                (worker, wakeups.first_choices(look.lengths, worker.served))
                for worker in idle
            )
        elif not look.is_paused:
            _wake(
                wakeups.workers_to_wake(
                    look.lengths, [(worker, worker.served) for worker in idle]
                )
            )

    def _lose(self, error: StoreError, now: float) -> None:
        self._pushed = []
        self.close()
        self._redis.begin(error, now)
        self.on_lost()

    def reconnect(self, url: str, workers: Iterable[WorkerHandle]) -> None:
        """Have this master and its workers open other connections.

        Idle workers ask Redis: if the data is older there, they must register again.
        """
        for worker in workers:
            worker.send(Reconnect())
        self.close()
        self._tracking.use(url)
        self._tracking.was_emptied = True

    def close(self) -> None:
        """Close the connection; the next turn opens another."""
        self._is_open = False
        if self._fd is not None:
            self._poller.unregister(self._fd)
            self._fd = None
        self._tracking.close()


def _wake(workers: Iterable[tuple[WorkerHandle, tuple[str, ...]]]) -> None:
    for worker, queues in workers:
        worker.is_idle = False
        worker.send(Wake(queues))
