"""The parts of a master that enqueue delayed and recurring jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

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
    def master_timeout(self) -> float:
        """The property of that name."""

    @property
    def failure_place(self) -> FailurePlace:
        """The property of that name."""

    @property
    def timings(self) -> Timings:
        """The setting of that name."""


class ScheduleSource(NamedTuple):
    """Where the schedules of a namespace come from; a reload replaces them.

    `declared` returns the same tuple for as long as none changes. `is_dynamic` is
    whether those in Redis count too.
    """

    declared: Callable[[], tuple[Schedule, ...]]
    is_dynamic: Callable[[], bool]


def delayed_mover(
    app: SchedulerSettings, namespace: str, owner: str, poller: Poller, log: Logger
) -> DelayedMover:
    """Return the part for the delayed jobs of a namespace; `owner` names the master."""
    return DelayedMover(
        DueJobs(
            app.url,
            Keys(namespace),
            owner,
            timeout=app.master_timeout,
            place=app.failure_place,
        ),
        poller,
        log,
        lease=app.timings.scheduler_lease,
        poll=app.timings.scheduler_interval,
    )


def schedule_enqueuer(
    app: SchedulerSettings, namespace: str, schedules: ScheduleSource, log: Logger
) -> ScheduleEnqueuer:
    """Return the part for the recurring jobs of a namespace."""
    return ScheduleEnqueuer(
        SingleLink(app.url, timeout=app.master_timeout, namespace=namespace),
        Keys(namespace),
        schedules.declared,
        log,
        is_dynamic=schedules.is_dynamic,
    )
