"""The keys of the configuration: how each is read, its default, what it means.

Values in, values out; a value that is no good raises ValueError with a text that
names it. The manual page and `resqued config example` are made from FIELDS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued import log
from resqued.core import durations
from resqued.errors import ConfigError
from resqued.store.connection import DEFAULT_URL, connect

# poll(2) takes its milliseconds as an int, which ends after 24 days.
LONGEST = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the file: how to read it, its default, what it means."""

    section: str
    key: str
    read: Callable[[Any], Any]
    default: Any
    meaning: str
    example: str = ""


def text(value: object) -> str:
    """Return a text as it is."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} must be a text, in quotes")
    return value


def _url(value: object) -> str:
    url = text(value)
    try:
        connect(url)  # sends nothing yet
    except ConfigError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"cannot be read as a url: {error}") from None
    return url


def _namespace(value: object) -> str:
    if not text(value):
        raise ValueError("must not be empty; the usual one is 'resque'")
    return str(value)


def _modules(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} must be a list of names, as in ['myapp.jobs']")
    for name in value:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"{name!r} is not the name of a module, such as myapp.jobs"
            )
    return tuple(value)


def _duration(value: object) -> float:
    try:
        found = durations.seconds(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is {error}") from None
    except OverflowError:
        found = math.inf
    if not found <= LONGEST:
        raise ValueError(f"{value!r} must be at most 7d")
    return found


def _positive(value: object) -> float:
    if (found := _duration(value)) <= 0:
        raise ValueError(f"{value!r} must be more than nothing")
    return found


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} must be true or false")
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
        "worker",
        "interval",
        _duration,
        5.0,
        "how often to look without word; 0: exit when the queues are empty",
        '"5s"',
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
    Field("worker", "hostname", text, "", "in worker ids; default: the host's"),
    Field("limits", "grace", _duration, 4.0, "between TERM and KILL", '"4s"'),
    Field("log", "level", _choice(tuple(log.LEVELS)), "info", ", ".join(log.LEVELS)),
    Field("log", "format", _choice(log.FORMATS), "auto", ", ".join(log.FORMATS)),
)
BY_NAME = {(field.section, field.key): field for field in FIELDS}
SECTIONS = tuple(dict.fromkeys(field.section for field in FIELDS))


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


def _line(assignment: str, meaning: str) -> str:
    return f"{assignment:<40} # {meaning}"
