"""A slot of the pool, and the workers that fill it, as the master sees them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resqued.core.backoff import Backoff
from resqued.core.exit_status import Exit
from resqued.core.limits import UNSET, Limits
from resqued.core.pool_diff import SlotState
from resqued.ipc.channel import Channel, ChannelClosed
from resqued.ipc.scoreboard import Phase, Scoreboard, Status
from resqued.system.process import Pid
from resqued.wire import queue_list
from resqued.wire.queue_list import QueueList

# A worker that dies so soon, with no job in hand, did not die of its work.
START_WINDOW = 1.0
# The longest that any step but a job can take, in Redis's time-outs, of which it may
# wait for several; and in seconds, for a machine that is busy with other things.
STEP_LIMIT = 10.0
LEAST_STEP_LIMIT = 10.0
# A worker that has closed its channel has nothing left to do but exit.
LAST_STEP = 5.0
# What is told of a worker to the program that takes a master over.
_PLAIN = (
    "spawned_at",
    "generation",
    "queues",
    "pid",
    "worker_id",
    "identity",
    "is_ready",
    "is_idle",
    "is_taken",
    "is_done",
    "quit_at",
    "has_yielded",
)


def step_limit(redis_timeout: float) -> float:
    """Return how long any step of a worker but a job can take, in seconds."""
    return max(LEAST_STEP_LIMIT, STEP_LIMIT * redis_timeout)


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker: what the master knows of it."""

    channel: Channel
    scoreboard: Scoreboard
    spawned_at: float
    generation: int
    queues: str
    served: QueueList
    limits: Limits = UNSET
    pid: Pid | None = None
    worker_id: str = ""
    identity: str = ""
    is_ready: bool = False
    is_idle: bool = False
    is_taken: bool = False
    # It found its queues empty, in burst mode: nobody need take its place.
    is_done: bool = False
    # Told to quit, and since when; it has answered that it takes no more jobs.
    quit_at: float | None = None
    has_yielded: bool = False
    closed_at: float | None = None
    is_gone: bool = False

    @property
    def name(self) -> str:
        """Its id; before it has said so, what can be said."""
        return self.worker_id or "(not known yet)"

    def order(self, kind: str, *values: object) -> None:
        """Tell the worker to do something; one that has gone needs telling no more."""
        try:
            self.channel.send(kind, *values)
        except ChannelClosed:
            self.is_idle = False

    def retire(self, now: float) -> None:
        """Tell it to finish its job and leave, once."""
        if self.quit_at is None:
            self.quit_at = now
            self.order("quit")

    def is_stuck(self, now: float, *, heartbeat: float, redis_timeout: float) -> bool:
        """Say whether a step takes longer than any step can.

        No job is a step: how long it may take is for its limits.
        """
        if self.closed_at is not None:
            return now - self.closed_at > LAST_STEP
        status = self.scoreboard.read()
        if status.phase is Phase.RUNNING:
            return False
        limit = step_limit(redis_timeout)
        if status.phase is Phase.WAITING:
            # An idle worker shows itself with each heartbeat.
            limit += 2 * heartbeat
        return now - max(status.since, self.spawned_at) > limit

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, and the numbers of its descriptors."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "limits": self.limits,
            "channel": self.channel.fileno(),
            "board": self.scoreboard.fd,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WorkerHandle:
        """Return the worker that as_dict told of, its descriptors still open."""
        os.set_inheritable(values["board"], False)
        return cls(
            Channel.inherited(values["channel"]),
            Scoreboard(values["board"]),
            served=queue_list.parse(values["queues"]),
            limits=Limits(*values["limits"]),
            **{name: values[name] for name in _PLAIN},
        )

    def close(self) -> None:
        """Give up what the master holds of a worker that has gone."""
        self.is_gone = True
        self.channel.close()
        self.scoreboard.close()


@dataclass(slots=True, eq=False)
class Slot:
    """One place in the pool; outlives its workers.

    `queues` is the list that it is to serve: its worker may still serve another one.
    While it moves to another generation, or list, the `successor` is there already,
    and takes no jobs yet.
    """

    queues: str
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, cap=30.0))
    worker: WorkerHandle | None = None
    successor: WorkerHandle | None = None
    is_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; of a slot that is not on its way."""
        return {
            "queues": self.queues,
            "backoff": asdict(self.backoff),
            "worker": None if self.worker is None else self.worker.as_dict(),
            "is_done": self.is_done,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Slot:
        """Return the slot that as_dict told of."""
        worker = values["worker"]
        return cls(
            values["queues"],
            Backoff(**values["backoff"]),
            worker=None if worker is None else WorkerHandle.from_dict(worker),
            is_done=values["is_done"],
        )

    def workers(self) -> list[WorkerHandle]:
        """Return its worker and its successor, as far as they are there."""
        return [w for w in (self.worker, self.successor) if w is not None]

    def reassign(self, queues: str) -> None:
        """Have it serve another list; its worker does so till the slot has moved."""
        self.queues = queues
        self.is_done = False

    def is_ready(self) -> bool:
        """Say whether its worker is registered."""
        return self.worker is not None and self.worker.is_ready

    def state(self) -> SlotState:
        """Return what matters for who is taken away, or replaced, first."""
        if self.worker is None:
            return SlotState(is_vacant=True, is_busy=False, since=0.0)
        status = self.worker.scoreboard.read()
        return SlotState(
            is_vacant=False,
            is_busy=status.phase is Phase.RUNNING,
            since=status.since,
        )


def is_start_failure(
    worker: WorkerHandle, status: Status, how: Exit, now: float, *, is_on_trial: bool
) -> bool:
    """Say whether a worker died of itself, not of its work: its slot then waits.

    Killed with a job in reach, it is replaced at once, however often. Not so where
    its generation is on trial: that may be what it died of.
    """
    if not worker.is_ready:
        return True
    is_infant = now - worker.spawned_at < START_WINDOW
    has_no_job = status.phase in (Phase.STARTING, Phase.WAITING)
    is_suspect = is_on_trial and status.phase is Phase.RESERVING
    return is_infant and (how.code >= 0 or has_no_job or is_suspect)
