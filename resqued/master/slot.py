"""A slot of the pool: one place for a worker, which outlives its workers."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from resqued.core.backoff import Backoff
from resqued.core.pool_diff import SlotState
from resqued.core.pool_key import PoolKey
from resqued.ipc.scoreboard import Phase
from resqued.master.handoff import DescriptorList, SlotRecord
from resqued.master.worker_handle import WorkerHandle


class Slot(Struct, eq=False):
    """One place in the pool; it outlives its workers.

    `pool` is the one that the slot belongs to; its worker may still be of another one.
    While the slot moves to another generation or pool, `successor` is the new
    worker, which takes no jobs yet. `is_done`: in burst mode, the worker has found its
    queues empty. `error` is why the master could not order a worker; "" if it could.
    `dead` is the id of the last worker, if that has died, and `free_at` is when another
    one follows it, even if its job is not reclaimed by then.
    """

    pool: PoolKey
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, cap=30.0))
    worker: WorkerHandle | None = None
    successor: WorkerHandle | None = None
    is_done: bool = False
    error: str = ""
    dead: str = ""
    free_at: float = 0.0

    def record(self, descriptors: DescriptorList) -> SlotRecord:
        """Return the record of this slot for the next program of the master."""
        # A dry run may find a worker that has not reported its pid yet; the real
        # replacement waits for the report.
        is_known = self.worker is not None and self.worker.pid is not None
        worker = self.worker.record(descriptors) if self.worker and is_known else None
        return SlotRecord(self.pool, self.backoff, worker, self.is_done)

    @classmethod
    def from_record(cls, record: SlotRecord) -> Slot:
        """Return a recorded slot."""
        worker = record.worker
        return cls(
            record.pool,
            record.backoff,
            worker=None if worker is None else WorkerHandle.from_record(worker),
            is_done=record.is_done,
        )

    def workers(self) -> list[WorkerHandle]:
        """Return the worker and the successor, if they exist."""
        return [w for w in (self.worker, self.successor) if w is not None]

    def fill_at(self, is_reclaiming: Callable[[str], bool]) -> float:
        """Return when to start a worker here, if the slot is vacant.

        The job of a worker that died may be put back: the next worker must not take the
        job behind it, or find its queues empty and leave, because it was faster.
        """
        if self.dead and is_reclaiming(self.dead):
            return max(self.backoff.ready_at, self.free_at)
        return self.backoff.ready_at

    def reassign(self, pool: PoolKey) -> None:
        """Assign another pool; its worker serves the old one until the move."""
        self.pool = pool
        self.is_done = False

    def is_ready(self) -> bool:
        """Return True if its worker is registered."""
        return self.worker is not None and self.worker.is_registered

    def state(self) -> SlotState:
        """Return what decides which slot is removed or replaced first."""
        if self.worker is None:
            return SlotState(is_vacant=True, is_busy=False, since=0.0)
        status = self.worker.scoreboard.read()
        return SlotState(
            is_vacant=False,
            is_busy=status.phase is Phase.RUNNING,
            since=status.since,
        )
