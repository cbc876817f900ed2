"""The messages between the processes of one master, and their channels.

The master sends orders; zygotes and workers send reports. Each union lists all messages
that one side may receive; receivers match it exhaustively.
"""

from __future__ import annotations

import socket

import msgspec

from resqued.config.settings import AppSettings
from resqued.core.lifecycle import Stop
from resqued.core.limits import UNSET, Cause, Limits
from resqued.core.pool_key import PoolKey
from resqued.core.worker_death import DeathRule
from resqued.ipc.channel import Channel
from resqued.scheduler.schedule import Schedule


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of every message; the class name is a part of the text that is sent."""


# From the master to a worker


class Wake(Message, frozen=True):
    """Ask Redis for a job.

    `queues` are some of the queues that have jobs, in the order of the worker's list.
    Empty: none is known to have any, and the master looks. None: their names have no
    room, and the worker looks at all of its queues.
    """

    queues: tuple[str, ...] | None = ()


class Pause(Message, frozen=True):
    """Take no jobs."""


class Resume(Message, frozen=True):
    """Take jobs again, and ask for one now."""


class PausedQueues(Message, frozen=True):
    """Take no jobs from these queues, and from no others that are paused.

    They are those among the worker's queues. None: they are too many for a message, or
    not known; the worker reads them before it takes the next job.
    """

    names: tuple[str, ...] | None = None


class Reconnect(Message, frozen=True):
    """Open another connection to Redis: the primary is another server."""


class JobInChild(msgspec.Struct, frozen=True):
    """One running job: the child's pid, and when the worker gave it the job.

    `since` is in seconds of the monotonic clock, as on the scoreboard.
    """

    child: int
    since: float


# Stands for the job that has written on the scoreboard of its worker, which then does
# not show the child. Nothing happens if the scoreboard has the worker's own values.
SPOILER = JobInChild(0, 0.0)


class EndJob(Message, frozen=True):
    """End the running job: SIGTERM, then SIGKILL after the grace period.

    The worker takes the next job. `reason` becomes the error of the failure. With
    `job` only that one is ended, because the child may have another job when the order
    arrives.
    """

    reason: str
    cause: Cause = Cause.ORDER
    job: JobInChild | None = None


class Leave(Message, frozen=True):
    """Take no more jobs, and exit when the running one is recorded in Redis.

    With Stop.TERMINATE a worker does not wait for a Redis that is away, and a job
    that it has reserved but not begun fails.
    """

    stop: Stop = Stop.QUIT


class ReopenLog(Message, frozen=True):
    """Reopen the log, as the file at `path`."""

    path: str


WorkerOrder = (
    Wake | Pause | Resume | PausedQueues | Reconnect | EndJob | Leave | ReopenLog
)


# From a worker to the master


class Hello(Message, frozen=True):
    """The worker runs: its pid, its id in Redis, and its identity there."""

    pid: int
    worker_id: str
    identity: str


class Registered(Message, frozen=True):
    """The worker is registered in Redis."""


class IdTaken(Message, frozen=True):
    """Another worker has this worker's id in Redis; it leaves."""


class Idle(Message, frozen=True):
    """The worker has found no job, and waits to be woken."""


class NoMoreJobs(Message, frozen=True):
    """The worker was ordered to leave, and takes no more jobs."""


class QueuesEmpty(Message, frozen=True):
    """The queues are empty and the pool runs in burst mode; the worker leaves."""


WorkerReport = Hello | Registered | IdTaken | Idle | NoMoreJobs | QueuesEmpty


# Between the master and a zygote


class LogSettings(msgspec.Struct, frozen=True):
    """The settings of the log, as `logger.configure` takes them."""

    level: str
    style: str
    events: dict[str, str] = {}


class Start(Message, frozen=True):
    """Import the application; the first message that a zygote receives."""

    settings: AppSettings
    log: LogSettings


class SpawnWorker(Message, frozen=True):
    """Fork a worker of a pool, for its queue list in its namespace.

    The message carries the descriptors of the worker's channel and scoreboard.
    `is_paused` and `paused_queues` (as in PausedQueues) apply from the start: an order
    could arrive after the first job.
    """

    pool: PoolKey
    limits: Limits = UNSET
    is_paused: bool = False
    paused_queues: tuple[str, ...] | None = None


ZygoteOrder = SpawnWorker | ReopenLog


class AppImported(Message, frozen=True):
    """The application is imported, and the zygote can fork workers.

    `threads` names the threads that it left running; `least_memory` is the smallest
    memory limit that a job declares, in bytes, or 0; `schedules` are its recurring
    jobs; `deaths` is what jobs declare for the death of their workers, by name.
    """

    threads: list[str]
    least_memory: int
    schedules: tuple[Schedule, ...] = ()
    deaths: dict[str, DeathRule] = {}


class DeclaredJobs(Message, frozen=True):
    """Some jobs of the application, described in JSON, by name; before AppImported.

    Several messages have them all, because one has not the room.
    """

    jobs: dict[str, str]


class ImportFailed(Message, frozen=True):
    """The application cannot be imported; the zygote exits.

    `stack` is the traceback in the application, for a person who debugs it.
    """

    error: str
    stack: str = ""


ZygoteReport = DeclaredJobs | AppImported | ImportFailed


# The four ends of the two kinds of channels

WorkerChannel = Channel[WorkerOrder, WorkerReport]
ZygoteChannel = Channel[Start | ZygoteOrder, ZygoteReport]


def to_worker(sock: socket.socket) -> WorkerChannel:
    """Return the master's end of a channel to a worker."""
    return Channel(sock, receives=WorkerReport)


def to_zygote(sock: socket.socket) -> ZygoteChannel:
    """Return the master's end of a channel to a zygote."""
    return Channel(sock, receives=ZygoteReport)


def worker_to_master(sock: socket.socket) -> Channel[WorkerReport, WorkerOrder]:
    """Return a worker's end of the channel to its master."""
    return Channel(sock, receives=WorkerOrder)


def receive_start(sock: socket.socket) -> Start | None:
    """Return the first message that a zygote receives, or None if none waits.

    Raises ChannelClosed if the master is gone.
    """
    received = Channel[ZygoteReport, Start](sock, receives=Start).receive()
    return None if received is None else received[0]


def zygote_to_master(sock: socket.socket) -> Channel[ZygoteReport, ZygoteOrder]:
    """Return a zygote's end of the channel to its master."""
    return Channel(sock, receives=ZygoteOrder)
