"""The limits in the tables of a configuration: [limits], and those narrower than it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resqued.config.readers import suggest
from resqued.config.schema import LIMITS
from resqued.core.limits import UNSET, Limits, Rules

# Tables in [limits], keyed by the name of a queue or of a class.
NARROWER = ("queue", "class")

# The checked values, by section and key.
Values = dict[tuple[str, str], Any]


def rules_in(tables: Mapping[str, Any], values: Values) -> Rules:
    """Return the limits in tables that are already checked."""
    queues, classes = (
        {
            name: read_limits(table, "", [])
            for name, table in tables.get("limits", {}).get(kind, {}).items()
        }
        for kind in NARROWER
    )
    default = Limits(values["limits", "runtime"], values["limits", "memory"])
    most = Limits(values["limits", "max_runtime"], values["limits", "max_memory"])
    return Rules(default, queues, classes, most)


def read_limits(table: Mapping[str, Any], place: str, problems: list[str]) -> Limits:
    """Return the limits in a table; a limit that it does not set is None."""
    found: dict[str, Any] = {}
    for key, field in LIMITS.items():
        try:
            found[key] = field.read(table[key]) if key in table else None
        except ValueError as error:
            problems.append(f"{place} {key}: {error}")
    return Limits(**found) if len(found) == len(LIMITS) else UNSET


def check_narrower(limits: object, problems: list[str]) -> None:
    """Add the problems in [limits.queue.NAME] and [limits.class.NAME]."""
    if not isinstance(limits, Mapping):
        return
    for kind in NARROWER:
        tables = limits.get(kind, {})
        if not isinstance(tables, Mapping):
            problems.append(f"limits.{kind} must be written as [limits.{kind}.NAME]")
            continue
        for name, table in tables.items():
            place = f"[limits.{kind}.{name}]"
            if not isinstance(table, Mapping):
                problems.append(f"{place} must be a section")
                continue
            read_limits(table, place, problems)
            problems += [
                f"{place}: unknown key {key!r}{suggest(key, tuple(LIMITS))}"
                for key in table
                if key not in LIMITS
            ]
