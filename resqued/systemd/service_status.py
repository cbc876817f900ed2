"""What is to be told of a master: where it stands, in a line, and what has changed.

The words are those of sd_notify(3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize


class ServiceState(IntEnum):
    """How far a master has come, as a service manager sees it."""

    STARTING = 0
    READY = 1
    RELOADING = 2
    STOPPING = 3


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How a master and its pool are doing.

    `workers` are registered, of `wanted`; `older` belong to an earlier generation;
    `oldest` is how long the longest of the running jobs has taken, in seconds.
    `reloads` is the number of the newest generation, whatever became of it, and
    `error` what became of it if that was nothing good.
    """

    generation: int
    reloads: int
    workers: int
    wanted: int
    busy: int
    older: int = 0
    oldest: float = 0.0
    is_ready: bool = True
    is_reloading: bool = False
    is_stopping: bool = False
    is_paused: bool = False
    error: str = ""

    @property
    def stage(self) -> ServiceState:
        """How far the master has come."""
        if self.is_stopping:
            return ServiceState.STOPPING
        if not self.is_ready:
            return ServiceState.STARTING
        return ServiceState.RELOADING if self.is_reloading else ServiceState.READY


def describe(status: PoolStatus) -> str:
    """Return one line for people: 4/4 workers, 3 busy, oldest job 3m12s, gen 2."""
    oldest = f"oldest job {show_seconds(status.oldest)}" if status.busy else ""
    if status.is_stopping:
        jobs = pluralize(status.busy, "job")
        words = [f"stopping, {jobs} still {'runs' if status.busy == 1 else 'run'}"]
        return ", ".join([*words, oldest] if oldest else words)
    words = [
        "" if status.is_ready else "starting",
        f"{status.workers}/{status.wanted} workers",
        f"{status.busy} busy",
        oldest,
        "paused" if status.is_paused else "",
        "reloading" if status.is_reloading else "",
        f"gen {status.generation}",
        f"{status.older} of an older gen" if status.older else "",
    ]
    line = ", ".join(filter(None, words))
    if status.error:
        line += f"; reload to gen {status.reloads} failed: {status.error}"
    return " ".join(line.split())


def changes(before: PoolStatus | None, now: PoolStatus) -> list[ServiceState]:
    """Return the stages to tell of, in order.

    A reload that was over between two looks is told of from beginning to end: who
    has asked for it waits for both.
    """
    stage = now.stage
    last = before.stage if before is not None else ServiceState.STARTING
    has_reloaded = before is not None and now.reloads > before.reloads
    if stage is ServiceState.READY and last is ServiceState.READY and has_reloaded:
        return [ServiceState.RELOADING, ServiceState.READY]
    return [] if stage is last else [stage]
