"""A recurring job as masters have published it, for programs that show it.

What stands in Redis may be of a later version, or of another program: what cannot be
read is shown as that, and stops no list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from resqued.errors import ResquedError
from resqued.scheduler.schedule import GRACE, LONGEST, Schedule, next_due
from resqued.scheduler.schedule_reader import from_ruby
from resqued.store.recurring import RecurringJobs, ScheduleState
from resqued.wire import timestamps

# The type of each field that has no choice of values.
_TYPES = {field.name: type(field.default) for field in fields(Schedule)}
_TYPES |= dict.fromkeys(("name", "class_name", "queue"), str)
# What a rule that makes no sense can raise: zones are files.
_NO_RULE = (ValueError, TypeError, LookupError, ArithmeticError, OSError)


class PublishedSchedule(Struct, frozen=True):
    """A recurring job with its state: enabled, disabled, overdue,
    unreadable, or not published.

    `schedule` is None if what was published cannot be read; `raw` is its text then.
    `due` is when it is enqueued next, in seconds since the epoch, None for never;
    `last` when a job was last enqueued, as text, "" for never.
    """

    name: str
    state: str
    schedule: Schedule | None
    due: int | None
    last: str
    raw: str = ""
    is_enabled: bool = True
    """Whether it is enqueued when it is due."""
    is_dynamic: bool = False
    """Whether it is one of resque-scheduler's in Redis."""
    is_published: bool = True
    """Whether a master of resqued has, or had, it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as `resqued schedule --json` shows it."""
        found: dict[str, Any] = {
            "name": self.name,
            "state": self.state,
            "next": None if self.due is None else timestamps.heartbeat(self.due),
            "last": self.last or None,
        }
        schedule = self.schedule
        if schedule is None:
            return found | {"raw": self.raw}
        others = schedule.as_dict()
        return {
            **found,
            "rule": schedule.rule,
            "class": schedule.class_name,
            **{k: v for k, v in others.items() if k not in ("name", "class_name")},
            "args": list(schedule.args),
        }


def published(jobs: RecurringJobs, now: float) -> Iterator[PublishedSchedule]:
    """Yield every recurring job; `now` is in seconds. Raises StoreError."""
    for name, state in jobs.states().items():
        yield read(name, state, now)


def all_schedules(jobs: RecurringJobs, now: float) -> list[PublishedSchedule]:
    """Return every recurring job, and those that no master has published.

    Sorted by name; `now` is in seconds. Raises StoreError.
    """
    dynamic = jobs.dynamic()
    found = [
        replace(each, is_dynamic=each.name in dynamic) for each in published(jobs, now)
    ]
    known = {each.name for each in found}
    found += [_unpublished(n, raw) for n, raw in dynamic.items() if n not in known]
    return sorted(found, key=lambda each: each.name)


def _unpublished(name: str, raw: bytes) -> PublishedSchedule:
    shown, schedule = raw.decode("utf-8", "backslashreplace"), None
    with suppress(ResquedError, RecursionError):
        schedule = from_ruby(name, raw)
    return PublishedSchedule(
        name,
        "not published",
        schedule,
        None,
        "",
        "" if schedule else shown,
        is_dynamic=True,
        is_published=False,
    )


def read(name: str, state: ScheduleState, now: float) -> PublishedSchedule:
    """Return a recurring job of a state in Redis."""
    schedule = _schedule(name, state.definition)
    due = None
    try:
        if schedule is not None:
            due = next_due(schedule, int(now) if state.last is None else state.last)
            due = due if due is None or due < now + LONGEST else None
            timestamps.heartbeat(due or 0)
    except _NO_RULE:
        schedule = None
    if schedule is None:
        raw = state.definition.decode("utf-8", "backslashreplace")
        return PublishedSchedule(
            name,
            "unreadable",
            None,
            None,
            state.last_enqueued,
            raw,
            state.is_enabled,
        )
    shown = "enabled"
    if not state.is_enabled:
        shown = "disabled"
    elif due is not None and due < now - GRACE:
        shown = "overdue"
    return PublishedSchedule(
        name,
        shown,
        schedule,
        due,
        state.last_enqueued,
        is_enabled=state.is_enabled,
    )


def _schedule(name: str, definition: bytes) -> Schedule | None:
    """Return what a definition says; of a later version, what is known here."""
    try:
        value = json.loads(definition)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    known = {key: v for key, v in value.items() if key in _TYPES}
    known["args"] = args = known.get("args", [])
    if not isinstance(args, list):
        return None
    known["args"] = tuple(args)
    if not all(_fits(each, _TYPES[key]) for key, each in known.items()):
        return None
    try:
        found = Schedule(**known | {"name": name})
    except TypeError:
        return None
    return found if found.cron or found.every >= 1 else None


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and abs(value) < LONGEST  # type: ignore[arg-type]
    return isinstance(value, kind)
