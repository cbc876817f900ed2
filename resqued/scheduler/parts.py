"""The parts of a master that enqueue delayed and recurring jobs."""

from __future__ import annotations

from typing import Protocol

from resqued.core.timings import Timings
from resqued.log.logger import Logger
from resqued.scheduler.mover import DelayedMover
from resqued.store.due_jobs import DueJobs
from resqued.system.poller import Poller
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
    def timings(self) -> Timings:
        """The setting of that name."""


def scheduler_parts(
    app: SchedulerSettings, owner: str, poller: Poller, log: Logger
) -> tuple[DelayedMover]:
    """Return the parts of a master; `owner` names it in Redis."""
    # The master acts on signals meanwhile, so it waits for Redis a second at most.
    timeout = min(1.0, app.redis_timeout)
    jobs = DueJobs(app.url, Keys(app.namespace), owner, timeout=timeout)
    timings = app.timings
    mover = DelayedMover(
        jobs,
        poller,
        log,
        lease=timings.scheduler_lease,
        poll=timings.scheduler_interval,
    )
    return (mover,)
