"""A slot of the pool, and the worker that fills it, as the master sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

from resqued.board import Board, Phase, Status
from resqued.channel import Channel, ChannelClosed
from resqued.core.backoff import Backoff
from resqued.core.outcome import Exit
from resqued.core.queues import QueueList
from resqued.process import Pid

# A worker that dies so soon, with no job in hand, did not die of its work.
INFANCY = 1.0
# The longest that any step but a job can take: Redis has a shorter time-out.
STEP_LIMIT = 30.0
# A worker that has closed its channel has nothing left to do but exit.
LAST_STEP = 5.0


@dataclass(slots=True)
class WorkerHandle:
    """One worker: what the master knows of it."""

    channel: Channel
    board: Board
    spawned_at: float
    pid: Pid | None = None
    worker_id: str = ""
    identity: str = ""
    is_ready: bool = False
    is_idle: bool = False
    is_taken: bool = False
    closed_at: float | None = None

    def order(self, kind: str) -> None:
        """Tell the worker to do something; one that has gone needs telling no more."""
        try:
            self.channel.send(kind)
        except ChannelClosed:
            self.is_idle = False

    def is_stuck(self, now: float, heartbeat: float) -> bool:
        """Say whether a step takes longer than any step can."""
        if self.closed_at is not None:
            return now - self.closed_at > LAST_STEP
        status = self.board.read()
        if status.phase is Phase.RUNNING:
            return False
        limit = STEP_LIMIT
        if status.phase is Phase.WAITING:
            # An idle worker shows itself with each heartbeat.
            limit += 2 * heartbeat
        return now - max(status.since, self.spawned_at) > limit

    def close(self) -> None:
        """Give up what the master holds of a worker that has gone."""
        self.channel.close()
        self.board.close()


@dataclass(slots=True)
class Slot:
    """One place in the pool; outlives its workers."""

    queues: QueueList
    text: str
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, cap=30.0))
    worker: WorkerHandle | None = None
    is_done: bool = False


def died_young(worker: WorkerHandle, status: Status, how: Exit, now: float) -> bool:
    """Say whether a worker died of itself, not of its work: its slot then waits.

    Killed with a job in reach, it is replaced at once, however often.
    """
    if not worker.is_ready:
        return True
    is_infant = now - worker.spawned_at < INFANCY
    return is_infant and (how.code >= 0 or status.phase is Phase.WAITING)
