"""The configuration: merges options, environment, TOML file and defaults.

`build` is pure: mapping in, Config out, or one ConfigError with every problem. Each
layer is checked before the merge, so that a problem names its file, variable or option.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeGuard

from resqued.config import readers
from resqued.config.example_file import example as example  # noqa: PLC0414 - passed on
from resqued.config.locations import DEFAULT_PATH as DEFAULT_PATH  # noqa: PLC0414
from resqued.config.locations import file_in_use as file_in_use  # noqa: PLC0414
from resqued.config.narrower import (
    KEYS,
    KINDS,
    check_narrower,
    limit_rules,
    narrower_keys,
    read_limits,
    repetition,
)
from resqued.config.readers import suggest
from resqued.config.schedules import located, read_schedules
from resqued.config.schema import BY_NAME, FIELDS, LIMITS, SECTIONS
from resqued.config.settings import NO_DAEMON, AppSettings, DaemonSettings
from resqued.core.limits import UNSET, Limits
from resqued.errors import ConfigError, QueueListError
from resqued.scheduler.schedule import Schedule
from resqued.store.server_url import redact
from resqued.wire import queue_list

_POOL_KEYS = ("queues", "workers", *LIMITS)

_Values = dict[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """One pool: a queue list, its number of workers, and the limits of its jobs."""

    queues: str
    workers: int
    limits: Limits = UNSET


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of a master; `app` goes to each zygote and its workers.

    `interval` (between two polls of the queues) and `start_timeout` (for the import)
    are in seconds. `environment` is a file, `control` a directory; "" if not set.
    """

    pools: tuple[PoolConfig, ...]
    app: AppSettings
    interval: float
    log_level: str
    log_format: str
    log_events: dict[str, str]
    start_timeout: float = 60.0
    canary_jobs: int = 0
    environment: str = ""
    control: str = ""
    daemon: DaemonSettings = NO_DAEMON
    schedules: tuple[Schedule, ...] = ()
    has_dynamic_schedules: bool = False

    @property
    def workers(self) -> int:
        """The number of workers of all pools."""
        return sum(pool.workers for pool in self.pools)


def load(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; raise ConfigError with the line of an error."""
    try:
        content = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist") from None
    except PermissionError:
        raise ConfigError(
            f"configuration file {path} cannot be read: Permission denied; run as a"
            " user who may read it, or name another with --config or RESQUED_CONFIG"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"configuration file {path} cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration file {path} is not UTF-8: "
            f"{error.reason} at byte {error.start}"
        ) from None
    try:
        return tomllib.loads(content)
    except RecursionError:
        raise ConfigError(
            f"configuration file {path}: arrays and tables are nested too deeply"
        ) from None
    except tomllib.TOMLDecodeError as error:
        # At an unexpected end of the file the parser gives no line number.
        end = f"at line {max(1, len(content.splitlines()))}, the end of the file"
        reason = str(error).replace("at end of document", end)
        raise ConfigError(f"configuration file {path}: {reason}") from None


def read_file(path: Path) -> dict[str, Any]:
    """Return the tables of a file; raise ConfigError with every problem in it."""
    tables = load(path)
    problems: list[str] = []
    _read(tables, problems)
    if problems:
        raise ConfigError(*(located(path, problem) for problem in problems))
    return tables


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the layers key by key; a later layer overrides an earlier one."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, values in layer.items():
            if isinstance(values, Mapping):
                merged.setdefault(section, {})
                if isinstance(merged[section], dict):
                    merged[section].update(values)
                    continue
            merged[section] = values
    return merged


def build(tables: Mapping[str, Any], *, burst: bool = False) -> Config:
    """Return the configuration, with burst mode if the interval is 0.

    Raises ConfigError with every problem.
    """
    values, pools = _checked(tables)
    interval, server = values["worker", "interval"], _section(values, "redis")
    app = AppSettings(
        redis_timeout=server.pop("timeout"),
        **server,
        modules=values["app", "import"],
        directory=values["app", "directory"],
        burst=burst or not interval,
        grace=values["limits", "grace"],
        rules=limit_rules(tables, values),
        **repetition(tables, values),
        redact=values["log", "redact"],
        # The other keys of [worker] have the same names in AppSettings.
        **{
            key: value
            for (section, key), value in values.items()
            if section == "worker" and key != "interval"
        },
    )
    return Config(
        pools=pools,
        app=app,
        interval=interval or BY_NAME["worker", "interval"].default,
        **{f"log_{key}": values["log", key] for key in ("level", "format", "events")},
        start_timeout=values["reload", "start_timeout"],
        canary_jobs=values["reload", "canary_jobs"],
        environment=values["app", "environment"],
        control=values["control", "directory"],
        schedules=read_schedules(tables.get("schedule", {}), []),
        has_dynamic_schedules=values["scheduler", "dynamic"],
        daemon=DaemonSettings(
            log_file=values["log", "file"],
            **_section(values, "daemon"),
        ),
    )


def _section(values: _Values, section: str) -> dict[str, Any]:
    return {key: value for (name, key), value in values.items() if name == section}


def effective(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the effective value of every key, by section, and the pools.

    The password in the URL is masked. Raises ConfigError with every problem.
    """
    values, pools = _checked(tables)
    found: dict[str, Any] = {section: {} for section in SECTIONS}
    for (section, key), value in values.items():
        found[section][key] = list(value) if isinstance(value, tuple) else value
    found["redis"]["url"] = redact(found["redis"]["url"])
    for section, kind in product(KEYS, KINDS):
        if kind in tables.get(section, {}):
            found[section][kind] = tables[section][kind]
    if tables.get("schedule"):
        found["schedule"] = tables["schedule"]
    found["pool"] = [
        {"queues": p.queues, "workers": p.workers, **_given(p.limits)} for p in pools
    ]
    return found


def _given(limits: Limits) -> dict[str, float]:
    return {key: value for key, value in limits._asdict().items() if value is not None}


def _checked(tables: Mapping[str, Any]) -> tuple[_Values, tuple[PoolConfig, ...]]:
    problems: list[str] = []
    values, pools = _read(tables, problems)
    if problems:
        raise ConfigError(*problems)
    return values, pools


def _read(
    tables: Mapping[str, Any], problems: list[str]
) -> tuple[_Values, tuple[PoolConfig, ...]]:
    values = _read_fields(tables, problems)
    pools = _read_pools(tables.get("pool", []), problems)
    check_narrower(tables, problems)
    read_schedules(tables.get("schedule", {}), problems)
    problems += _unknown_keys(tables)
    return values, pools


def _read_fields(tables: Mapping[str, Any], problems: list[str]) -> _Values:
    values = {}
    for field in FIELDS:
        table = tables.get(field.section, {})
        given = table.get(field.key) if isinstance(table, Mapping) else None
        try:
            value = field.default if given is None else field.read(given)
        except ValueError as error:
            problems.append(f"[{field.section}] {field.key}: {error}")
            continue
        values[field.section, field.key] = value
    return values


def _read_pools(tables: object, problems: list[str]) -> tuple[PoolConfig, ...]:
    if not _is_array(tables):
        problems.append("pool must be written as [[pool]], once for each pool")
        return ()
    pools: list[PoolConfig] = []
    for number, table in enumerate(tables, start=1):
        place = f"[[pool]] {number}"
        problems += [
            f"{place}: unknown key {key!r}{suggest(key, _POOL_KEYS)}"
            for key in table
            if key not in _POOL_KEYS
        ]
        names, workers = table.get("queues", ""), table.get("workers", 1)
        try:
            queue_list.parse(readers.text(names))
        except (ValueError, QueueListError) as error:
            problems.append(f"{place} queues: {error}")
        if any(names == pool.queues for pool in pools):
            problems.append(
                f"{place} queues: {names!r} is the list of another pool, too:"
                " merge the two pools"
            )
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            problems.append(
                f"{place} workers: {workers!r} must be a whole number from 1"
            )
        else:
            limits = read_limits(table, place, problems)
            pools.append(PoolConfig(str(names), workers, limits))
    return tuple(pools)


def _unknown_keys(tables: Mapping[str, Any]) -> list[str]:
    problems = []
    for section, table in tables.items():
        if section in ("pool", "schedule"):
            continue
        is_section = isinstance(table, Mapping)
        if section not in SECTIONS and (is_section or _is_array(table)):
            known = (*SECTIONS, "pool", "schedule")
            problems.append(f"unknown section [{section}]{suggest(section, known)}")
        elif not is_section:
            problems.append(_stray(section))
        else:
            known = tuple(f.key for f in FIELDS if f.section == section)
            known += narrower_keys(section)
            problems += [
                f"[{section}]: unknown key {key!r}{suggest(key, known)}"
                for key in table
                if key not in known
            ]
    return problems


def _is_array(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Return True if a value was written as [[value]]."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _stray(key: str) -> str:
    """Return the problem of a key outside every section, with its right place."""
    if key in SECTIONS:
        return f"{key} must be a section, written as [{key}]"
    places = [f"[{f.section}]" for f in FIELDS if f.key == key]
    places = places or [f"[{section}]" for section in SECTIONS]
    return f"key {key!r} is in no section: write it under {' or '.join(places)}"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in environment variables, by section and key.

    Reads the variables of resqued, those of Resque, and REDIS_URL. An empty variable
    counts as unset. Raises ConfigError with every problem.
    """
    found: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for section, key, names, read in _VARIABLES:
        name = next((n for n in names if environ.get(n)), None)
        value = None if name is None else read(environ[name])
        if name is not None and value is not None:
            found.setdefault(section, {}).setdefault(key, value)
            problems += problems_of(section, key, value, name)
    if problems:
        raise ConfigError(*problems)
    return dict(found)


def problems_of(section: str, key: str, value: object, name: str) -> list[str]:
    """Return the problems of one value; `name` is the option or variable it is from."""
    try:
        BY_NAME[section, key].read(value)
    except ValueError as error:
        return [f"{name}: {error}"]
    return []


def _truth(value: str) -> bool:
    return value.strip().lower() not in {"0", "false", "no", "off"}


def _if_true(level: str) -> Callable[[str], str | None]:
    return lambda value: level if _truth(value) else None


# For one key, the first variable that is set applies.
_VARIABLES: tuple[tuple[str, str, tuple[str, ...], Callable[[str], Any]], ...] = (
    ("redis", "url", ("RESQUED_REDIS_URL", "REDIS_URL"), str),
    ("redis", "namespace", ("RESQUED_NAMESPACE",), str),
    ("app", "import", ("RESQUED_APP",), str),
    ("worker", "graceful_term", ("RESQUED_GRACEFUL_TERM", "GRACEFUL_TERM"), _truth),
    ("worker", "stop_timeout", ("RESQUED_STOP_TIMEOUT",), str),
    ("limits", "grace", ("RESQUED_GRACE", "RESQUE_TERM_TIMEOUT"), str),
    ("log", "level", ("RESQUED_LOG_LEVEL",), str),
    # Variables of Resque; there, too, the more verbose one applies (wire format 5.1).
    ("log", "level", ("VVERBOSE",), _if_true("debug")),
    ("log", "level", ("VERBOSE",), _if_true("info")),
    ("log", "level", ("LOGGING",), _if_true("info")),
    ("log", "format", ("RESQUED_LOG_FORMAT",), str),
    ("log", "file", ("RESQUED_LOG_FILE",), str),
    ("daemon", "pid_file", ("RESQUED_PIDFILE", "PIDFILE"), str),
)
