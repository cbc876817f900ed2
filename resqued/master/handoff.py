"""The state that a master passes to the program that replaces it, as typed records.

Runs in the master. Descriptors stay open over execve(2) if, and only if, they are in
the list of descriptors: each record that has one adds it there.
"""

from __future__ import annotations

import json
import os

import msgspec

from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.generation_lifecycle import GenerationState
from resqued.core.limits import Limits
from resqued.core.pool_key import PoolKey
from resqued.core.supervised_worker import SupervisedState
from resqued.core.worker_death import DeathRule
from resqued.scheduler.schedule import Schedule

# Increased when a record or a message to workers changes. A new program that receives
# another version refuses it, and the master keeps its program until it is restarted.
VERSION = 5


class DescriptorList:
    """The numbers of the descriptors that must stay open over execve(2)."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def keep(self, fd: int) -> int:
        """Add a descriptor to the list, and return it."""
        self.numbers.append(fd)
        return fd


class WorkerRecord(msgspec.Struct, frozen=True):
    """One worker; `channel` and `scoreboard` are descriptors."""

    state: SupervisedState
    spawned_at: float
    generation: int
    pool: PoolKey
    limits: Limits
    pid: int
    worker_id: str
    identity: str
    is_idle: bool
    left_at: float | None
    channel: int
    scoreboard: int


class SlotRecord(msgspec.Struct, frozen=True):
    """One slot; only a pool without moving slots is handed over."""

    pool: PoolKey
    backoff: Backoff
    worker: WorkerRecord | None
    is_done: bool


class GenerationRecord(msgspec.Struct, frozen=True):
    """The current generation; `channel` is a descriptor."""

    config: Config
    number: int
    pid: int | None
    channel: int | None
    is_ready: bool
    least_memory: int
    started_at: float
    deaths: dict[str, DeathRule] = {}
    schedules: tuple[Schedule, ...] = ()


class PoolRecord(msgspec.Struct, frozen=True):
    """A pool that is settled."""

    current: GenerationRecord
    last: int
    state: GenerationState
    slots: list[SlotRecord]
    retiring: list[WorkerRecord]
    wanted: list[tuple[PoolKey, int]]
    is_paused: bool
    was_ready: bool


class PidFileRecord(msgspec.Struct, frozen=True):
    """The pid file; `descriptor` holds its lock."""

    path: str
    descriptor: int


class HandoffState(msgspec.Struct, frozen=True):
    """The whole state. `control` listens; `asker` waits for the answer to a request."""

    pool: PoolRecord
    control: int | None
    asker: int | None
    pid_file: PidFileRecord | None
    descriptors: list[int]
    version: int = VERSION


class _Version(msgspec.Struct):
    version: int


def write(state: HandoffState) -> int:
    """Return a descriptor of a file in memory that holds the state."""
    fd = os.memfd_create("resqued-handoff", os.MFD_CLOEXEC)
    data = json.dumps(msgspec.to_builtins(state)).encode()
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read(fd: int) -> HandoffState | int:
    """Return the state that a descriptor holds, or its version if that is unknown."""
    with os.fdopen(fd, "rb") as file:
        values = json.loads(file.read())
    version = msgspec.convert(values, _Version).version
    if version != VERSION:
        return version
    return msgspec.convert(values, HandoffState)
