"""Recurring jobs as programs show them: what masters publish, and when they are due."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from resqued.errors import ResquedError
from resqued.scheduler.schedule import GRACE, Schedule, next_due
from resqued.scheduler.schedule_reader import from_ruby
from resqued.store.recurring import RecurringJobs, ScheduleState

_FIELDS = {field.name for field in fields(Schedule)}


def read_definition(name: str, definition: bytes) -> Schedule:
    """Return what a master has published; of a later version, what is known here.

    Raises ResquedError if it is no schedule.
    """
    try:
        value = json.loads(definition)
        known = {key: v for key, v in value.items() if key in _FIELDS}
        known["args"] = tuple(known.get("args", ()))
        return Schedule(**known | {"name": name})
    except (ValueError, TypeError, AttributeError):
        raise ResquedError(
            f"schedule {name} cannot be read; `resqued schedule remove {name}`"
        ) from None


@dataclass(frozen=True, slots=True)
class PublishedSchedule:
    """A recurring job, its definition and its state in Redis.

    `schedule` is None if the definition cannot be read, for the reason in `problem`.
    `is_dynamic` is True if it is one of resque-scheduler's in Redis, `is_published` if
    a master of resqued has, or had, it.
    """

    name: str
    schedule: Schedule | None
    state: ScheduleState
    problem: str = ""
    is_dynamic: bool = False
    is_published: bool = True

    def next_at(self, now: float) -> int | None:
        """Return when it is due next, in seconds since the epoch; None for never."""
        if self.schedule is None:
            return None
        last = int(now) if self.state.last is None else self.state.last
        try:
            return next_due(self.schedule, last)
        except (ValueError, ArithmeticError):
            return None  # a rule that another version has allowed

    def status(self, now: float) -> str:
        """Return enabled, disabled, overdue or, without a master, not published."""
        if not self.is_published:
            return "not published"
        if not self.state.is_enabled:
            return "disabled"
        due = self.next_at(now)
        return "overdue" if due is not None and due < now - GRACE else "enabled"


def published_schedules(jobs: RecurringJobs) -> list[PublishedSchedule]:
    """Return all recurring jobs of Redis, sorted by name; raise StoreError."""
    dynamic = jobs.dynamic()
    states = jobs.states()
    found = [
        _published(name, state, is_dynamic=name in dynamic)
        for name, state in states.items()
    ]
    found += [_unpublished(n, dynamic[n]) for n in dynamic if n not in states]
    return sorted(found, key=lambda one: one.name)


def _published(
    name: str, state: ScheduleState, *, is_dynamic: bool
) -> PublishedSchedule:
    try:
        schedule = read_definition(name, state.definition)
    except ResquedError as error:
        return PublishedSchedule(name, None, state, str(error), is_dynamic)
    return PublishedSchedule(name, schedule, state, "", is_dynamic)


def _unpublished(name: str, raw: bytes) -> PublishedSchedule:
    state = ScheduleState(raw, None, True, "")
    schedule, problem = None, ""
    try:
        schedule = from_ruby(name, raw)
    except ResquedError as error:
        problem = str(error)
    return PublishedSchedule(
        name, schedule, state, problem, is_dynamic=True, is_published=False
    )
