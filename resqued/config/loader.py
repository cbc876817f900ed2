"""The configuration: merges options, environment, TOML file and defaults.

`build` is pure: mapping in, Config out, or one ConfigError with every problem. Each
layer is checked before the merge, so that a problem names its file, variable or option.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from resqued.config.example_file import example as example  # noqa: PLC0414 - passed on
from resqued.config.failure_keys import failure_settings, masked_address, missing_keys
from resqued.config.locations import DEFAULT_PATH as DEFAULT_PATH  # noqa: PLC0414
from resqued.config.locations import file_in_use as file_in_use  # noqa: PLC0414
from resqued.config.narrower import (
    KEYS,
    KINDS,
    Values,
    check_narrower,
    limit_rules,
    narrower_keys,
    repetition,
)
from resqued.config.pools import PoolConfig as PoolConfig  # noqa: PLC0414
from resqued.config.pools import is_array, read_pools
from resqued.config.readers import suggest
from resqued.config.schedules import located, read_schedules
from resqued.config.schema import BY_NAME, FIELDS, SECTIONS
from resqued.config.settings import NO_DAEMON, AppSettings, DaemonSettings
from resqued.config.variables import from_environment as from_environment  # noqa: PLC0414
from resqued.config.variables import problems_of as problems_of  # noqa: PLC0414
from resqued.config.web_settings import WebSettings, web_settings
from resqued.core.pool_key import namespaces_of
from resqued.errors import ConfigError
from resqued.scheduler.schedule import Schedule
from resqued.store.redis_errors import untagged
from resqued.store.server_url import read_url, redact
from resqued.store.slots import slot_of_namespace
from resqued.wire.keys import DEFAULT_NAMESPACE


class Config(Struct, frozen=True):
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

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces of the pools, each once; the first pool's comes first."""
        return namespaces_of(pool.key for pool in self.pools)


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
    interval = values["worker", "interval"]
    return Config(
        pools=pools,
        app=replace(
            _app_settings(tables, values),
            burst=burst or not interval,
            names_namespace=len(namespaces_of(pool.key for pool in pools)) > 1,
        ),
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
            **{key: value for (name, key), value in values.items() if name == "daemon"},
        ),
    )


def build_web(tables: Mapping[str, Any]) -> WebSettings:
    """Return the settings of the web front end.

    Raises ConfigError with every problem.
    """
    return web_settings(_checked(tables)[0])


def _app_settings(tables: Mapping[str, Any], values: Values) -> AppSettings:
    """Return the settings of a generation, in tables that are already checked."""
    server = {key: value for (name, key), value in values.items() if name == "redis"}
    server |= {"redis_timeout": server.pop("timeout"), **failure_settings(values)}
    return AppSettings(
        **server,
        modules=values["app", "import"],
        directory=values["app", "directory"],
        grace=values["limits", "grace"],
        rules=limit_rules(tables, values),
        **repetition(tables, values),
        redact=values["log", "redact"],
        history=values["history", "resolution"],
        # The other keys of [worker] have the same names in AppSettings.
        **{
            key: value
            for (section, key), value in values.items()
            if section == "worker" and key != "interval"
        },
    )


def effective(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the effective value of every key, by section, and the pools.

    Passwords, and what may be one in an address, are masked. Raises ConfigError with
    every problem.
    """
    values, pools = _checked(tables)
    found: dict[str, Any] = {section: {} for section in SECTIONS}
    for (section, key), value in values.items():
        found[section][key] = list(value) if isinstance(value, tuple) else value
    found["redis"]["url"] = redact(found["redis"]["url"])
    found["failure"]["webhook_url"] = masked_address(found["failure"]["webhook_url"])
    for section, kind in product(KEYS, KINDS):
        if kind in tables.get(section, {}):
            found[section][kind] = tables[section][kind]
    if tables.get("schedule"):
        found["schedule"] = tables["schedule"]
    found["pool"] = [
        {
            "queues": p.queues,
            "workers": p.workers,
            "namespace": p.namespace,
            **{k: v for k, v in p.limits._asdict().items() if v is not None},
        }
        for p in pools
    ]
    return found


def _checked(tables: Mapping[str, Any]) -> tuple[Values, tuple[PoolConfig, ...]]:
    problems: list[str] = []
    values, pools = _read(tables, problems)
    if not problems:
        problems = [*_untagged(values["redis", "url"], pools), *missing_keys(values)]
    if problems:
        raise ConfigError(*problems)
    return values, pools


def _untagged(url: str, pools: tuple[PoolConfig, ...]) -> list[str]:
    """Return the problem of each namespace that the cluster of a URL cannot have."""
    if not read_url(url).is_cluster:
        return []  # perhaps it is one all the same: the server says so
    return [
        str(untagged(f"redis at {redact(url)}", name))
        for name in namespaces_of(pool.key for pool in pools)
        if slot_of_namespace(name) is None
    ]


def _read(
    tables: Mapping[str, Any], problems: list[str]
) -> tuple[Values, tuple[PoolConfig, ...]]:
    values = _read_fields(tables, problems)
    # Without a valid default the result is not used, but problems are still found.
    default = values.get(("redis", "namespace"), DEFAULT_NAMESPACE)
    pools = read_pools(tables.get("pool", []), default, problems)
    check_narrower(tables, problems)
    read_schedules(tables.get("schedule", {}), problems)
    problems += _unknown_keys(tables)
    return values, pools


def _read_fields(tables: Mapping[str, Any], problems: list[str]) -> Values:
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


def _unknown_keys(tables: Mapping[str, Any]) -> list[str]:
    problems = []
    for section, table in tables.items():
        if section in ("pool", "schedule"):
            continue
        is_section = isinstance(table, Mapping)
        if section not in SECTIONS and (is_section or is_array(table)):
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


def _stray(key: str) -> str:
    """Return the problem of a key outside every section, with its right place."""
    if key in SECTIONS:
        return f"{key} must be a section, written as [{key}]"
    places = [f"[{f.section}]" for f in FIELDS if f.key == key]
    places = places or [f"[{section}]" for section in SECTIONS]
    return f"key {key!r} is in no section: write it under {' or '.join(places)}"
