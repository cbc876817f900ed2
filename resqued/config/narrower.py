"""Tables for one queue or one class of jobs: [limits.queue.low], [retry.class.Mail].

Each has some keys of its section; a table of limits or retries for all jobs has them
too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resqued.config.field import Field
from resqued.config.readers import suggest
from resqued.config.retry_fields import RETRIES
from resqued.config.schema import LIMITS
from resqued.core.limits import UNSET, Limits, Rules
from resqued.core.retry import Spacing
from resqued.core.worker_death import DeathRule, DeathRules
from resqued.retries.policy import RetryRules, RetryTable

# The kinds of tables, and the keys that each section has in them.
KINDS = ("queue", "class")
KEYS: dict[str, dict[str, Field]] = {"limits": LIMITS, "retry": RETRIES}

# How often a job is tried again if its table does not say it, and [retry] neither.
_TIMES = 3

# The checked values, by section and key.
Values = dict[tuple[str, str], Any]


def check_narrower(tables: Mapping[str, Any], problems: list[str]) -> None:
    """Add the problems in the tables for queues and classes of every section."""
    for section, keys in KEYS.items():
        for place, table in _tables(tables.get(section, {}), section, problems):
            _read(table, keys, place, problems)
            problems += [
                f"{place}: unknown key {key!r}{suggest(key, tuple(keys))}"
                for key in table
                if key not in keys
            ]


def _tables(
    section: object, name: str, problems: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(section, Mapping):
        return
    for kind in KINDS:
        tables = section.get(kind, {})
        if not isinstance(tables, Mapping):
            problems.append(f"{name}.{kind} must be written as [{name}.{kind}.NAME]")
            continue
        for of, table in tables.items():
            place = f"[{name}.{kind}.{of}]"
            if isinstance(table, Mapping):
                yield place, table
            else:
                problems.append(f"{place} must be a section")


def _read(
    table: Mapping[str, Any],
    keys: Mapping[str, Field],
    place: str,
    problems: list[str],
) -> dict[str, Any]:
    """Return the values that a table gives."""
    found: dict[str, Any] = {}
    for key, field in keys.items():
        try:
            if key in table:
                found[key] = field.read(table[key])
        except ValueError as error:
            problems.append(f"{place} {key}: {error}")
    return found


def read_limits(table: Mapping[str, Any], place: str, problems: list[str]) -> Limits:
    """Return the limits in a table; a limit that it does not set is None."""
    before = len(problems)
    found = _read(table, LIMITS, place, problems)
    return Limits(**found) if len(problems) == before else UNSET


def limit_rules(tables: Mapping[str, Any], values: Values) -> Rules:
    """Return the limits in tables that are already checked."""
    queues, classes = (
        {
            name: read_limits(table, "", [])
            for name, table in tables.get("limits", {}).get(kind, {}).items()
        }
        for kind in KINDS
    )
    default = Limits(values["limits", "runtime"], values["limits", "memory"])
    most = Limits(values["limits", "max_runtime"], values["limits", "max_memory"])
    return Rules(default, queues, classes, most)


def retry_rules(tables: Mapping[str, Any], values: Values) -> RetryRules:
    """Return the retries in tables that are already checked."""
    general = {key: values["retry", key] for key in RETRIES}
    wider = {**general, "times": general["times"] or _TIMES}
    queues, classes = (
        {
            name: _table({**wider, **_read(table, RETRIES, "", [])})
            for name, table in tables.get("retry", {}).get(kind, {}).items()
        }
        for kind in KINDS
    )
    default = _table(general) if general["times"] else None
    return RetryRules(default, queues, classes, values["retry", "record"] == "all")


def death_rules(tables: Mapping[str, Any], values: Values) -> DeathRules:
    """Return what tables that are already checked say of jobs whose worker dies."""
    queues, classes = (
        {
            name: _death_rule(_read(table, RETRIES, "", []))
            for name, table in tables.get("retry", {}).get(kind, {}).items()
        }
        for kind in KINDS
    )
    general = {key: values["retry", key] for key in RETRIES}
    default = _death_rule({**general, "times": general["times"] or _TIMES})
    records_all = values["retry", "record"] == "all"
    return DeathRules(default, queues, classes, records_all=records_all)


def _death_rule(given: Mapping[str, Any]) -> DeathRule:
    keys = ("on_worker_death", "times", "delay", "quarantine_after")
    return DeathRule(*(given.get(key) for key in keys))


def repetition(tables: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Return the settings about jobs that are tried again, by name."""
    return {
        "retries": retry_rules(tables, values),
        "deaths": death_rules(tables, values),
    }


def _table(values: Mapping[str, Any]) -> RetryTable:
    names = ("on", "unless")
    others = {*names, "on_worker_death", "quarantine_after"}
    spacing = {key: value for key, value in values.items() if key not in others}
    return RetryTable(Spacing(**spacing), *(values[name] for name in names))


def narrower_keys(section: str) -> tuple[str, ...]:
    """Return the names of tables that a section may have."""
    return KINDS if section in KEYS else ()
