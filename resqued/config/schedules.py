"""The recurring jobs in the tables [schedule.NAME] of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from resqued.scheduler.schedule import Schedule
from resqued.scheduler.schedule_reader import problems_of_schedule, read_schedule

_PROBLEM = re.compile(r"\[schedule\.(.+?)\](?: (\w+))?:")


def read_schedules(tables: object, problems: list[str]) -> tuple[Schedule, ...]:
    """Return the schedules of a configuration; add what is wrong to `problems`."""
    if not isinstance(tables, Mapping):
        problems.append("schedule must be written as [schedule.NAME], one for each")
        return ()
    found = []
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            problems.append(f"[schedule]: {name} must be a section, [schedule.{name}]")
            continue
        wrong = list(problems_of_schedule(name, table))
        for error in wrong:
            place = f"[schedule.{name}] {error.key}".rstrip()
            problems.append(f"{place}: {error.problem}")
        if not wrong:
            found.append(read_schedule(name, table))
    return tuple(found)


def located(path: Path, problem: str) -> str:
    """Return a problem of a file with its place; of a schedule, with its line."""
    match = _PROBLEM.match(problem)
    line = _line_of(path.read_text("utf-8-sig"), *match.groups("")) if match else 0
    return f"{path}:{f' line {line}:' if line else ''} {problem}"


def _line_of(text: str, name: str, key: str) -> int:
    """Return the line of a key in the table of a schedule, or of its head; or 0."""
    head = re.compile(rf"\s*\[\s*schedule\s*\.\s*([\"']?){re.escape(name)}\1\s*\]")
    found = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if head.match(line):
            found = number
        elif found and line.lstrip().startswith("["):
            break
        elif found and key and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return found
