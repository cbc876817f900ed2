"""From a table of a file, or an entry of resque-scheduler, to a schedule; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

from resqued.core import durations
from resqued.errors import QueueNameError, ResquedError
from resqued.scheduler.schedule import LONGEST, MISSED, Schedule
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
# What Vixie's cron calls some expressions.
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Days of the week at the end of an expression, which a time zone may follow.
_DAYS = re.compile(r"(SUN|MON|TUE|WED|THU|FRI|SAT)([-,/#].*|L)?", re.IGNORECASE)
# Shorter, a job is a program that continues.
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
        cron=_expression(table.get("cron", "")),
        every=durations.seconds(table.get("every", 0)),
        zone=table.get("zone", "UTC"),
        jitter=durations.seconds(table.get("jitter", 0)),
        missed=table.get("missed", "once"),
        overlap=table.get("overlap", True),
        description=table.get("description", ""),
    )


def _expression(text: str) -> str:
    """Return a cron expression as masters have it: its fields, with one blank."""
    return _NICKNAMES.get(text.strip().lower(), " ".join(text.split()))


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
    jitter = _seconds(table.get("jitter", 0))
    if jitter and jitter >= (gap := _gap(table)).seconds:
        yield WrongScheduleError("jitter", f"must be shorter than {gap.name}")


class _Gap(NamedTuple):
    """The shortest time between two ticks: in seconds, and what people call it."""

    seconds: float
    name: str = ""


def _gap(table: Mapping[str, Any]) -> _Gap:
    """Return the shortest time between two ticks; infinite if the rule is wrong.

    With a longer jitter a tick came after the next one, which would leave it out.
    """
    if "cron" not in table:
        return _Gap(_seconds(table.get("every")) or inf, "every")
    try:
        _cron(table["cron"])
    except ValueError:
        return _Gap(inf)
    from resqued.scheduler.cron import shortest_gap

    gap = shortest_gap(_expression(table["cron"]))
    if gap == inf:
        return _Gap(inf)
    return _Gap(gap, f"what lies between times of cron, {durations.show_seconds(gap)}")


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
        check_cron(_expression(str(value)))
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
    seconds = durations.seconds(value)
    if seconds < _SHORTEST:
        raise ValueError(f"{value!r} is shorter than a second")
    if seconds >= LONGEST:
        raise ValueError(f"{value!r} is longer than ten years")


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
            table[key] = _ruby_seconds(rule) if key == "every" else rule
    *others, last = str(table.get("cron", "")).split() or [""]
    if _is_zone(last, len(others)):
        table |= {"cron": " ".join(others), "zone": last}
    return read_schedule(name, table)


# The units of a duration for rufus-scheduler, which resque-scheduler uses: the case
# counts. A year has 365 days and a month 30.
_RUBY_UNITS = {
    "y": 365 * 86400,
    "M": 30 * 86400,
    "w": 7 * 86400,
    "d": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
}
_RUBY_PART = re.compile(r"(\d+(?:\.\d+)?)([yMwdhms])")
_RUBY_DURATION = re.compile(rf"(?:{_RUBY_PART.pattern})+")


def _ruby_seconds(value: object) -> object:
    """Return the seconds of a duration such as 1w2d or 1M; another value as it is."""
    text = str(value).strip()
    if not _RUBY_DURATION.fullmatch(text):
        return value
    parts = _RUBY_PART.findall(text)
    return sum(float(number) * _RUBY_UNITS[unit] for number, unit in parts)


def _is_zone(last: str, before: int) -> bool:
    """Return True if the last part of an expression is a time zone.

    `before` is the number of parts before it. One after five parts may be the days.
    """
    if not last[:1].isalpha() or before not in (1, 5, 6):
        return False
    return before != 5 or not _DAYS.fullmatch(last)
