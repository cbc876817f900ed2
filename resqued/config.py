"""The configuration: options, environment, TOML file and defaults, made one.

`build` is pure: a mapping in, a Config out, or one ConfigError with every problem
at once. Each key is described in FIELDS, from which the example is printed too.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resqued import log
from resqued.core import durations, queues
from resqued.errors import ConfigError, QueueListError
from resqued.settings import AppSettings
from resqued.store.connection import DEFAULT_URL, check_url

DEFAULT_PATH = Path("/etc/resqued/resqued.toml")


@dataclass(frozen=True, slots=True)
class Pool:
    """So many workers on one queue list."""

    queues: str
    workers: int


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a master is told."""

    pools: tuple[Pool, ...]
    app: AppSettings
    interval: float
    log_level: str
    log_format: str

    @property
    def workers(self) -> int:
        """How many workers the pool wants."""
        return sum(pool.workers for pool in self.pools)


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the file: how to read it, its default, what it means."""

    section: str
    key: str
    read: Callable[[Any], Any]
    default: Any
    meaning: str
    example: str = ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _url(value: object) -> str:
    url = _text(value)
    try:
        check_url(url)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return url


def _namespace(value: object) -> str:
    if not _text(value):
        raise ValueError("must not be empty")
    return str(value)


def _modules(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of module names")
    for name in value:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"{name!r} is not the name of a module, such as myapp.jobs"
            )
    return tuple(value)


def _duration(value: object) -> float:
    try:
        return durations.seconds(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is {error}") from None


def _positive(value: object) -> float:
    if (found := _duration(value)) <= 0:
        raise ValueError("must be more than nothing")
    return found


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _choice(options: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in options:
            raise ValueError(f"{value!r} must be one of {', '.join(options)}")
        return str(value)

    return read


FIELDS = (
    Field(
        "redis", "url", _url, DEFAULT_URL, "the server: redis://, rediss:// or unix://"
    ),
    Field("redis", "namespace", _namespace, "resque", "what every key begins with"),
    Field("redis", "timeout", _positive, 3.0, "how long to wait for an answer", '"3s"'),
    Field(
        "app",
        "import",
        _modules,
        (),
        "modules with jobs, imported once",
        '["myapp.jobs"]',
    ),
    Field(
        "worker", "interval", _positive, 5.0, "how often to look without word", '"5s"'
    ),
    Field("worker", "heartbeat", _positive, 60.0, "how often to say alive", '"60s"'),
    Field(
        "worker",
        "exit_grace",
        _positive,
        5.0,
        "for flushing when a job is done",
        '"5s"',
    ),
    Field(
        "worker", "orphan_grace", _duration, 3.0, "for a job whose master died", '"3s"'
    ),
    Field(
        "worker",
        "settle_grace",
        _duration,
        5.0,
        "for a Redis that is away when told to terminate",
        '"5s"',
    ),
    Field("worker", "graceful_term", _flag, False, "TERM means QUIT", "false"),
    Field("worker", "hostname", _text, "", "in worker ids; default: the host's"),
    Field("limits", "grace", _duration, 4.0, "between TERM and KILL", '"4s"'),
    Field("log", "level", _choice(tuple(log.LEVELS)), "info", ", ".join(log.LEVELS)),
    Field("log", "format", _choice(log.FORMATS), "auto", ", ".join(log.FORMATS)),
)
_SECTIONS = {field.section for field in FIELDS}
_POOL_KEYS = ("queues", "workers")


def load(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; raise ConfigError naming the line at fault."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"configuration file {path} cannot be read: {error}"
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration file {path}: {error}") from None


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers as one, the later ones winning, key by key."""
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
    """Return the configuration; raise ConfigError with all that is wrong."""
    problems: list[str] = []
    values = _read_fields(tables, problems)
    pools = _read_pools(tables.get("pool", []), problems)
    problems += _unknown_keys(tables)
    if problems:
        raise ConfigError(*problems)
    app = AppSettings(
        url=values["redis", "url"],
        namespace=values["redis", "namespace"],
        redis_timeout=values["redis", "timeout"],
        modules=values["app", "import"],
        burst=burst,
        graceful_term=values["worker", "graceful_term"],
        heartbeat=values["worker", "heartbeat"],
        grace=values["limits", "grace"],
        exit_grace=values["worker", "exit_grace"],
        orphan_grace=values["worker", "orphan_grace"],
        settle_grace=values["worker", "settle_grace"],
        hostname=values["worker", "hostname"],
    )
    return Config(
        pools=pools,
        app=app,
        interval=values["worker", "interval"],
        log_level=values["log", "level"],
        log_format=values["log", "format"],
    )


def _read_fields(
    tables: Mapping[str, Any], problems: list[str]
) -> dict[tuple[str, str], Any]:
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


def _read_pools(tables: object, problems: list[str]) -> tuple[Pool, ...]:
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        problems.append("pool must be written as [[pool]], once for each pool")
        return ()
    pools = []
    for number, table in enumerate(tables, start=1):
        place = f"[[pool]] {number}"
        problems += [
            f"{place}: unknown key {key!r}{_suggest(key, _POOL_KEYS)}"
            for key in table
            if key not in _POOL_KEYS
        ]
        text, workers = table.get("queues", ""), table.get("workers", 1)
        try:
            queues.parse(_text(text))
        except (ValueError, QueueListError) as error:
            problems.append(f"{place} queues: {error}")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            problems.append(
                f"{place} workers: {workers!r} must be a whole number from 1"
            )
        else:
            pools.append(Pool(str(text), workers))
    return tuple(pools)


def _unknown_keys(tables: Mapping[str, Any]) -> list[str]:
    problems = []
    for section, table in tables.items():
        if section == "pool":
            continue
        if section not in _SECTIONS:
            problems.append(
                f"unknown section [{section}]{_suggest(section, (*_SECTIONS, 'pool'))}"
            )
        elif not isinstance(table, Mapping):
            problems.append(f"{section} must be a section: [{section}]")
        else:
            known = tuple(f.key for f in FIELDS if f.section == section)
            problems += [
                f"[{section}]: unknown key {key!r}{_suggest(key, known)}"
                for key in table
                if key not in known
            ]
    return problems


def _suggest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says: ours, Resque's own names, and REDIS_URL.

    Raises ConfigError for a number that is none.
    """
    found: dict[str, dict[str, Any]] = {}
    for section, key, names, read in _VARIABLES:
        name = next((n for n in names if environ.get(n)), None)
        if name is not None:
            found.setdefault(section, {})[key] = read(environ[name])
    return dict(found)


def _truth(value: str) -> bool:
    return value.strip().lower() not in {"0", "false", "no", "off"}


_VARIABLES: tuple[tuple[str, str, tuple[str, ...], Callable[[str], Any]], ...] = (
    ("redis", "url", ("RESQUED_REDIS_URL", "REDIS_URL"), str),
    ("redis", "namespace", ("RESQUED_NAMESPACE",), str),
    ("app", "import", ("RESQUED_APP",), str),
    ("worker", "graceful_term", ("RESQUED_GRACEFUL_TERM", "GRACEFUL_TERM"), _truth),
    ("limits", "grace", ("RESQUED_GRACE", "RESQUE_TERM_TIMEOUT"), str),
    ("log", "level", ("RESQUED_LOG_LEVEL",), str),
    ("log", "format", ("RESQUED_LOG_FORMAT",), str),
)


def file_in_use(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the one given, or the usual one if it is there."""
    named = given or environ.get("RESQUED_CONFIG")
    if named:
        return Path(named)
    return DEFAULT_PATH if os.access(DEFAULT_PATH, os.R_OK) else None


def example() -> str:
    """Return a file with every key, its default and its meaning."""
    lines = ["# resqued configuration; every value here is the default.", ""]
    section = ""
    for field in FIELDS:
        if field.section != section:
            lines += [""] if section else []
            section = field.section
            lines.append(f"[{section}]")
        shown = field.example or f'"{field.default}"'
        is_sample = not field.default and field.example != "false"
        lines.append(
            _line(f"{'# ' if is_sample else ''}{field.key} = {shown}", field.meaning)
        )
    lines += [
        "",
        "# One or more pools; with none, the queues of the command line.",
        "[[pool]]",
        _line('queues = "critical,high"', "first one first; *, ?, [a-z] and !name"),
        _line("workers = 4", "how many workers"),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, meaning: str) -> str:
    return f"{text:<40} # {meaning}"
