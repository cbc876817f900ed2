"""The status of a master: as one line of text, and as the stages of sd_notify(3).

Used by the master.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize


class ServiceState(IntEnum):
    """The stage of a master, as a service manager sees it."""

    STARTING = 0
    READY = 1
    RELOADING = 2
    STOPPING = 3


class PoolStatus(Struct, frozen=True):
    """The status of a master and its pool.

    `workers` is the number of registered workers and `wanted` the configured one;
    `busy` of them run a job, `older` belong to an earlier generation. `oldest` is the
    run time of the oldest running job, in seconds. `generation` is the generation in
    service; `reloads` is the number of the newest generation, even if it failed, and
    `error` is the reason if it did. `redis` says what is wrong with Redis, "" if
    nothing is.
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
    redis: str = ""
    error: str = ""

    @property
    def stage(self) -> ServiceState:
        """The stage of the master."""
        if self.is_stopping:
            return ServiceState.STOPPING
        if not self.is_ready:
            return ServiceState.STARTING
        return ServiceState.RELOADING if self.is_reloading else ServiceState.READY


def describe(status: PoolStatus) -> str:
    """Return the status as one line: 4/4 workers, 3 busy, oldest job 3m12s, gen 2."""
    oldest = f"oldest job {show_seconds(status.oldest)}" if status.busy else ""
    if status.is_stopping:
        jobs = pluralize(status.busy, "job")
        run = f"stopping, {jobs} still {'runs' if status.busy == 1 else 'run'}"
        return ", ".join(filter(None, [run, oldest, status.redis]))
    words = [
        "" if status.is_ready else "starting",
        f"{status.workers}/{status.wanted} workers",
        f"{status.busy} busy",
        oldest,
        status.redis,
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
    """Return the stages to report after `before`, in order.

    A reload that began and ended since `before` is reported as RELOADING and READY,
    because `systemctl reload` waits for both.
    """
    stage = now.stage
    last = before.stage if before is not None else ServiceState.STARTING
    has_reloaded = before is not None and now.reloads > before.reloads
    if stage is ServiceState.READY and last is ServiceState.READY and has_reloaded:
        return [ServiceState.RELOADING, ServiceState.READY]
    return [] if stage is last else [stage]
