"""One worker, as the master knows it: its state, its channel, its scoreboard."""

from __future__ import annotations

import math
import os
from typing import assert_never

from msgspec import Struct

from resqued.core import supervised_worker
from resqued.core.exit_status import Exit
from resqued.core.limits import UNSET, Limits
from resqued.core.pool_key import PoolKey
from resqued.core.supervised_worker import (
    HAS_YIELDED,
    REGISTERED,
    Death,
    SupervisedEvent,
    SupervisedState,
    WorkerStep,
)
from resqued.core.timings import Timings
from resqued.ipc import messages
from resqued.ipc.channel import ChannelClosed, inherited_socket
from resqued.ipc.messages import WorkerChannel, WorkerOrder, WorkerReport
from resqued.ipc.scoreboard import SPOILT, Phase, Scoreboard, StepRecord
from resqued.master.handoff import DescriptorList, WorkerRecord
from resqued.master.usage import parent
from resqued.system.process import Pid
from resqued.wire import queue_list
from resqued.wire.queue_list import QueueList

_EVENTS: dict[type, SupervisedEvent] = {
    messages.Hello: SupervisedEvent.HELLO,
    messages.Registered: SupervisedEvent.REGISTERED,
    messages.IdTaken: SupervisedEvent.ID_TAKEN,
    messages.NoMoreJobs: SupervisedEvent.NO_MORE_JOBS,
    messages.QueuesEmpty: SupervisedEvent.QUEUES_EMPTY,
}


class WorkerHandle(Struct, eq=False):
    """One worker, as the master knows it. Times are of the monotonic clock."""

    channel: WorkerChannel
    scoreboard: Scoreboard
    spawned_at: float
    generation: int
    pool: PoolKey
    served: QueueList
    limits: Limits = UNSET
    state: SupervisedState = SupervisedState.FORKED
    pid: Pid | None = None
    worker_id: str = ""
    identity: str = ""
    is_idle: bool = False
    # When the worker was ordered to leave, and when its channel was closed.
    left_at: float | None = None
    closed_at: float | None = None
    # When the worker was last ordered to end a job that has spoilt its scoreboard.
    spoiler_at: float = -math.inf

    @property
    def name(self) -> str:
        """The id of the worker, or a placeholder until it has reported one."""
        return self.worker_id or "(not known yet)"

    @property
    def is_registered(self) -> bool:
        """Whether the worker is registered in Redis, as far as the master knows."""
        return self.state in REGISTERED

    @property
    def has_yielded(self) -> bool:
        """Whether the worker takes no more jobs."""
        return self.state in HAS_YIELDED or self.closed_at is not None

    @property
    def is_gone(self) -> bool:
        """Whether the worker has been reaped."""
        return self.state is SupervisedState.GONE

    def send(self, order: WorkerOrder) -> None:
        """Send an order; nothing happens if the worker has closed its channel."""
        try:
            self.channel.send(order)
        except ChannelClosed:
            self.is_idle = False

    def take_in(self, report: WorkerReport) -> None:
        """Note the content of a report."""
        match report:
            case messages.Hello(pid, worker_id, identity):
                self.pid = Pid(pid)
                self.worker_id, self.identity = worker_id, identity
            case messages.Idle():
                self.is_idle = True
            case (
                messages.Registered()
                | messages.IdTaken()
                | messages.NoMoreJobs()
                | messages.QueuesEmpty()
            ):
                pass
            case _:
                assert_never(report)
        event = _EVENTS.get(type(report))
        if event is not None:
            self.change_state(event)

    def change_state(self, event: SupervisedEvent) -> None:
        """Go to the state that follows an event."""
        self.state = supervised_worker.step(self.state, event)

    def retire(self, now: float) -> None:
        """Order the worker to finish its job and leave; a second call does nothing."""
        if self.left_at is None:
            self.left_at = now
            self.change_state(SupervisedEvent.ORDERED_TO_LEAVE)
            self.send(messages.Leave())

    def status(self) -> StepRecord:
        """Return what the scoreboard shows, if the child there belongs to the worker.

        Else return SPOILT: a job has written another pid, which must not be killed.
        """
        status = self.scoreboard.read()
        parents = (None, self.pid, os.getpid())
        if status.child and parent(status.child) not in parents:
            return SPOILT
        return status

    def has_run_since(self, done: int) -> bool:
        """Return whether the worker has a job, or has settled more than `done` runs.

        Of a worker that has gone it is not known.
        """
        if self.is_gone:
            return False
        return self.has_job or self.scoreboard.run_counts().done > done

    @property
    def has_job(self) -> bool:
        """Whether the scoreboard says that the worker has a job."""
        return self.scoreboard.read().phase in (Phase.RUNNING, Phase.SETTLING)

    def is_stuck(
        self, now: float, *, heartbeat: float, redis_timeout: float, timings: Timings
    ) -> bool:
        """Return True if the present step of the worker has exceeded its time limit.

        `heartbeat` and `redis_timeout` are in seconds.
        """
        if self.closed_at is not None:
            return now - self.closed_at > timings.closing_limit
        status = self.scoreboard.read()
        return supervised_worker.is_step_overdue(
            step_of(status),
            now - max(status.since, self.spawned_at),
            redis_timeout=redis_timeout,
            heartbeat=heartbeat if status.phase is Phase.WAITING else 0.0,
            timings=timings,
        )

    def is_start_failure(
        self, how: Exit, now: float, *, is_on_trial: bool, timings: Timings
    ) -> bool:
        """Return True if the worker, which is dead, failed to start."""
        at = step_of(self.scoreboard.read())
        return supervised_worker.is_start_failure(
            self.state,
            Death(how, at, age=now - self.spawned_at),
            is_on_trial=is_on_trial,
            timings=timings,
        )

    def record(self, descriptors: DescriptorList) -> WorkerRecord:
        """Return the record of this worker for the next program of the master."""
        assert self.pid is not None, "recorded when every worker is known"
        return WorkerRecord(
            state=self.state,
            spawned_at=self.spawned_at,
            generation=self.generation,
            pool=self.pool,
            limits=self.limits,
            pid=self.pid,
            worker_id=self.worker_id,
            identity=self.identity,
            is_idle=self.is_idle,
            left_at=self.left_at,
            channel=descriptors.keep(self.channel.fileno()),
            scoreboard=descriptors.keep(self.scoreboard.fd),
        )

    @classmethod
    def from_record(cls, record: WorkerRecord) -> WorkerHandle:
        """Return a recorded worker, whose descriptors are still open."""
        os.set_inheritable(record.scoreboard, False)
        return cls(
            messages.to_worker(inherited_socket(record.channel)),
            Scoreboard(record.scoreboard),
            spawned_at=record.spawned_at,
            generation=record.generation,
            pool=record.pool,
            served=queue_list.parse(record.pool.queues),
            limits=record.limits,
            state=record.state,
            pid=Pid(record.pid),
            worker_id=record.worker_id,
            identity=record.identity,
            is_idle=record.is_idle,
            left_at=record.left_at,
        )

    def close(self) -> None:
        """Close the channel and the scoreboard of a worker that has exited."""
        self.change_state(SupervisedEvent.EXITED)
        self.channel.close()
        self.scoreboard.close()


def step_of(status: StepRecord) -> WorkerStep:
    """Return the step that a scoreboard shows, as supervised_worker knows it."""
    if status.phase is Phase.RUNNING:
        return WorkerStep.RUNNING
    if status.phase is Phase.RESERVING:
        return WorkerStep.RESERVING
    is_waiting = status.phase in (Phase.STARTING, Phase.WAITING)
    return WorkerStep.WAITING if is_waiting else WorkerStep.OTHER
