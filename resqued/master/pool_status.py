"""How a pool is doing, gathered for those who are told: `ps`, and systemd."""

from __future__ import annotations

from collections.abc import Iterable

from resqued.ipc.scoreboard import Phase
from resqued.master.pool import Pool
from resqued.master.slot import WorkerHandle
from resqued.systemd.service_status import PoolStatus


def pool_status_of(pool: Pool, now: float, *, is_stopping: bool) -> PoolStatus:
    """Return how the pool is doing."""
    succession = pool.generations
    workers, current = pool.workers(), succession.current.number
    running = running_since(workers)
    # Whoever finishes a job beside the slots counts when all are waited for.
    busy = running if is_stopping else running_since(pool.serving())
    return PoolStatus(
        generation=current,
        reloads=succession.last,
        workers=sum(slot.is_ready() for slot in pool.slots),
        wanted=len(pool.slots),
        busy=len(busy),
        older=sum(worker.generation != current for worker in workers),
        oldest=now - min(running, default=now),
        is_ready=pool.was_ready,
        is_reloading=not succession.is_settled,
        is_stopping=is_stopping,
        is_paused=pool.is_paused,
        error=succession.result.error if succession.result else "",
    )


def running_since(workers: Iterable[WorkerHandle]) -> list[float]:
    """Return since when each of those runs its job that has one."""
    statuses = [worker.scoreboard.read() for worker in workers]
    return [each.since for each in statuses if each.phase is Phase.RUNNING]
