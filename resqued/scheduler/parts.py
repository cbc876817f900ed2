"""The parts of a master that enqueue delayed and recurring jobs."""

from __future__ import annotations

from typing import Protocol

from resqued.core.timings import Timings
from resqued.log.logger import Logger
from resqued.scheduler.enqueuer import ScheduleEnqueuer
from resqued.scheduler.mover import DelayedMover
from resqued.scheduler.schedule import Schedule
from resqued.store.connection import SingleLink
from resqued.store.due_jobs import DueJobs
from resqued.system.poller import Poller
from resqued.wire.failure_place import FailurePlace
from resqued.wire.keys import Keys


class SchedulerSettings(Protocol):
    """What is used of the settings of the application."""

    @property
    def url(self) -> str:
        """The setting of that name."""

    @property
    def namespace(self) -> str:
        """The setting of that name."""

    @property
    def redis_timeout(self) -> float:
        """The setting of that name."""

    @property
    def failure_place(self) -> FailurePlace:
        """The property of that name."""

    @property
    def timings(self) -> Timings:
        """The setting of that name."""


class ScheduleSource(Protocol):
    """A generation: its schedules stay the same tuple for as long as none changes."""

    schedules: tuple[Schedule, ...]
    has_dynamic_schedules: bool


class Generations(Protocol):
    """What has the generation whose schedules apply; a reload replaces it."""

    @property
    def incumbent(self) -> ScheduleSource:
        """The generation in use."""


def scheduler_parts(
    app: SchedulerSettings,
    owner: str,
    generations: Generations,
    poller: Poller,
    log: Logger,
) -> tuple[DelayedMover, ScheduleEnqueuer]:
    """Return the parts of a master; `owner` names it in Redis."""
    # The master acts on signals meanwhile, so it waits for Redis a second at most.
    timeout = min(1.0, app.redis_timeout)
    keys, timings = Keys(app.namespace), app.timings
    mover = DelayedMover(
        DueJobs(app.url, keys, owner, timeout=timeout, place=app.failure_place),
        poller,
        log,
        lease=timings.scheduler_lease,
        poll=timings.scheduler_interval,
    )
    enqueuer = ScheduleEnqueuer(
        SingleLink(app.url, timeout=timeout),
        keys,
        lambda: generations.incumbent.schedules,
        log,
        is_dynamic=lambda: generations.incumbent.has_dynamic_schedules,
    )
    return mover, enqueuer
