"""The status of a pool, and its publication in the title and to systemd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from resqued.ipc.scoreboard import Phase
from resqued.master.namespace_parts import ServedNamespaces
from resqued.master.pool import Pool
from resqued.master.worker_handle import WorkerHandle
from resqued.system import process_title
from resqued.systemd.notify import Notifier
from resqued.systemd.service_status import PoolStatus
from resqued.wire import titles


class MasterState(Protocol):
    """The parts of a master that its status is read from."""

    pool: Pool
    namespaces: ServedNamespaces

    @property
    def is_stopping(self) -> bool:
        """Whether the master has an order to stop."""


class StatusPublisher:
    """Keeps the title of the master and its status in systemd up to date."""

    def __init__(self, master: MasterState, notifier: Notifier) -> None:
        self._master = master
        self._notifier = notifier

    def due(self, _now: float) -> float:
        """Return when systemd must be notified, if nothing happens."""
        return self._notifier.due()

    def turn(self, now: float) -> None:
        """Publish the status, if it has changed or systemd must be notified."""
        status = pool_status_of(self._master, now)
        title = titles.master(
            generation=status.generation,
            workers=status.workers,
            wanted=status.wanted,
            busy=status.busy,
            older=status.older,
            problem=status.redis,
        )
        process_title.set_title(title)
        self._notifier.turn(now, status)


def pool_status_of(master: MasterState, now: float) -> PoolStatus:
    """Return the status of the pool."""
    pool, is_stopping = master.pool, master.is_stopping
    generations = pool.generations
    workers, current = pool.workers(), generations.current.number
    running = running_since(workers)
    # While the master stops, workers that only finish a job count as well.
    busy = running if is_stopping else running_since(pool.serving())
    return PoolStatus(
        generation=current,
        reloads=generations.last,
        workers=sum(slot.is_ready() for slot in pool.slots),
        wanted=len(pool.slots),
        busy=len(busy),
        older=sum(worker.generation != current for worker in workers),
        oldest=now - min(running, default=now),
        is_ready=pool.was_ready,
        is_reloading=not generations.is_settled,
        is_stopping=is_stopping,
        is_paused=pool.is_paused,
        redis=master.namespaces.problem,
        error=generations.outcomes.newest.error if generations.outcomes.newest else "",
    )


def running_since(workers: Iterable[WorkerHandle]) -> list[float]:
    """Return when the job of each busy worker began, on the monotonic clock."""
    statuses = [worker.scoreboard.read() for worker in workers]
    return [each.since for each in statuses if each.phase is Phase.RUNNING]
