"""Recurring jobs that an application declares; the master enqueues them.

`@resqued.every("10m")` and `@resqued.cron("0 3 * * *")` stand above `@resqued.job`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from resqued.core.durations import Duration
from resqued.errors import ArgumentError, JobClassError
from resqued.scheduler.schedule import Schedule
from resqued.scheduler.schedule_reader import WrongScheduleError, read_schedule
from resqued.wire import arguments
from resqued.wire.naming import function_of, queue_of, wire_name

T = TypeVar("T")
Missed = Literal["skip", "once", "all"]

# Filled when modules are imported, as decorators must; only read afterwards.
_DECLARED: dict[str, Schedule] = {}


def every(  # noqa: PLR0913 - what a schedule has
    period: Duration,
    /,
    *,
    args: Sequence[object] = (),
    name: str | None = None,
    queue: str | None = None,
    jitter: Duration = 0,
    missed: Missed = "once",
    overlap: bool = True,
) -> Callable[[T], T]:
    """Have a job enqueued again and again, `period` apart.

    `period` is in seconds, or a text such as "10m"; the times are its multiples since
    1970. `args` are the arguments of the job. `name` is that of the schedule, by
    default that of the job; `queue` is that of the job by default. Each time is up to
    `jitter` late, the same for all masters. `missed` is what is done about times when
    no master ran: skip, once or all. With `overlap=False` a time is left out while an
    equal job waits or runs. Raises JobClassError where it is declared, if a value
    cannot be used or the name is taken.
    """
    if callable(period):
        raise JobClassError('write the period: @resqued.every("10m")')
    table = {"every": period, "jitter": jitter, "missed": missed, "overlap": overlap}
    return _Declaration(table, args, name, queue)


def cron(  # noqa: PLR0913 - what a schedule has
    expression: str,
    /,
    *,
    zone: str = "UTC",
    args: Sequence[object] = (),
    name: str | None = None,
    queue: str | None = None,
    jitter: Duration = 0,
    missed: Missed = "once",
    overlap: bool = True,
) -> Callable[[T], T]:
    """Have a job enqueued at the times of a cron expression.

    `expression` has five fields, or six with the seconds first; `zone` is its time
    zone, such as "Europe/Vienna". The others are those of `every`.
    """
    if callable(expression):
        raise JobClassError('write the expression: @resqued.cron("0 3 * * *")')
    table = {
        "cron": expression,
        "zone": zone,
        "jitter": jitter,
        "missed": missed,
        "overlap": overlap,
    }
    return _Declaration(table, args, name, queue)


class _Declaration:
    """Declares the schedule of the job that it decorates, and returns the job."""

    def __init__(
        self,
        table: dict[str, Any],
        args: Sequence[object],
        name: str | None,
        queue: str | None,
    ) -> None:
        self._table = table | {"args": list(args)}
        self._name = name
        self._queue = queue

    def __call__(self, job: T) -> T:
        target: Any = job
        class_name = wire_name(target)
        if function := function_of(target):
            try:
                arguments.by_position(class_name, function, self._table["args"], {})
            except ArgumentError as error:
                raise JobClassError(f"schedule of {error}; give it args=[…]") from None
        name = self._name or class_name
        queue = self._queue or queue_of(target)
        table = self._table | {"class": class_name, "queue": queue}
        try:
            schedule = read_schedule(name, table)
        except WrongScheduleError as error:
            raise JobClassError(f"schedule {name} of {class_name}: {error}") from None
        if _DECLARED.setdefault(name, schedule) != schedule:
            raise JobClassError(
                f"schedule {name} of {class_name} is declared already: give it a name="
            )
        return job


def declared_schedules() -> tuple[Schedule, ...]:
    """Return the recurring jobs that were declared."""
    return tuple(_DECLARED.values())
