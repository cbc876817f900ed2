"""From a table of a file, or an entry of resque-scheduler, to a schedule; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from resqued.core import durations
from resqued.errors import QueueNameError, ResquedError
from resqued.scheduler.schedule import MISSED, Schedule
from resqued.wire import payload, ruby_json
from resqued.wire.naming import check_queue

KEYS = (
    "class",
    "queue",
    "args",
    "cron",
    "every",
    "zone",
    "jitter",
    "missed",
    "overlap",
    "description",
)
# Shorter, a job is a program that goes on.
_SHORTEST = 1.0


class WrongScheduleError(ResquedError, ValueError):
    """A schedule is wrong; `key` is where, or "" for the whole of it."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"{key}: {problem}" if key else problem)


def read_schedule(name: str, table: Mapping[str, Any]) -> Schedule:
    """Return a schedule; raise WrongScheduleError for the first problem."""
    for problem in problems_of_schedule(name, table):
        raise problem
    args = table.get("args", [])
    return Schedule(
        name=name,
        class_name=table["class"],
        queue=table["queue"],
        args=payload.arguments(args),
        cron=" ".join(table.get("cron", "").split()),
        every=durations.seconds(table.get("every", 0)),
        zone=table.get("zone", "UTC"),
        jitter=durations.seconds(table.get("jitter", 0)),
        missed=table.get("missed", "once"),
        overlap=table.get("overlap", True),
        description=table.get("description", ""),
    )


def problems_of_schedule(
    name: str, table: Mapping[str, Any]
) -> Iterator[WrongScheduleError]:
    """Yield what is wrong with a schedule."""
    if not name:
        yield WrongScheduleError("", "a schedule needs a name")
    for key in table:
        if key not in KEYS:
            yield WrongScheduleError(key, f"unknown key; there are {', '.join(KEYS)}")
    for key, check in _CHECKS.items():
        if key in table or key in ("class", "queue"):
            try:
                check(table.get(key))
            except ValueError as error:
                yield WrongScheduleError(key, str(error))
    if ("cron" in table) == ("every" in table):
        yield WrongScheduleError("", "give cron or every, and one of them")
    if "jitter" in table and "cron" in table:
        return
    if "jitter" in table and _seconds(table["jitter"]) >= _seconds(table["every"]):
        yield WrongScheduleError("jitter", "must be shorter than every")


def _seconds(value: object) -> float:
    try:
        return durations.seconds(value)
    except ValueError:
        return 0.0


def _text(value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")


def _class(value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError("name the class of the job, such as 'myapp.jobs.archive'")


def _queue(value: object) -> None:
    try:
        check_queue(value)
    except QueueNameError as error:
        raise ValueError(str(error)) from None


def _args(value: object) -> None:
    if not isinstance(value, list | tuple):
        # A table may have secrets, by the names of arguments.
        shown = "a table" if isinstance(value, Mapping) else repr(value)
        raise ValueError(f"{shown} is not a list of arguments")
    ruby_json.encode(list(value), "args", depth=2)


def _cron(value: object) -> None:
    _text(value)
    # Only where there is an expression.
    from resqued.scheduler.cron import check_cron

    try:
        check_cron(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r}: {error}") from None


def _zone(value: object) -> None:
    from resqued.scheduler.cron import check_zone

    _text(value)
    try:
        check_zone(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is {error}") from None


def _every(value: object) -> None:
    _duration(value)
    if durations.seconds(value) < _SHORTEST:
        raise ValueError(f"{value!r} is shorter than a second")


def _duration(value: object) -> None:
    try:
        durations.seconds(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is {error}") from None


def _missed(value: object) -> None:
    if value not in MISSED:
        raise ValueError(f"{value!r} is none of {', '.join(MISSED)}")


def _overlap(value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")


_CHECKS: dict[str, Callable[[object], None]] = {
    "class": _class,
    "queue": _queue,
    "args": _args,
    "cron": _cron,
    "every": _every,
    "zone": _zone,
    "jitter": _duration,
    "missed": _missed,
    "overlap": _overlap,
    "description": _text,
}


def from_ruby(name: str, raw: bytes) -> Schedule:
    """Return a schedule of resque-scheduler's `persistent_schedules` (8.1).

    `cron` and `every` may be a list with options behind it, and a cron expression may
    end in a time zone. Raises WrongScheduleError.
    """
    try:
        value = ruby_json.decode(raw)
    except ValueError as error:
        raise WrongScheduleError("", f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongScheduleError("", "not an object")
    table = {key: value[key] for key in ("queue", "description") if value.get(key)}
    table["class"] = value.get("custom_job_class") or value.get("class") or name
    table["args"] = list(payload.arguments(value.get("args")))
    for key in ("cron", "every"):
        rule = value.get(key)
        if isinstance(rule, list):
            rule = rule[0] if rule else None
        if rule:
            table[key] = rule
    fields = str(table.get("cron", "")).split()
    if fields and fields[-1][0].isalpha() and len(fields) in (6, 7):
        table |= {"cron": " ".join(fields[:-1]), "zone": fields[-1]}
    return read_schedule(name, table)
