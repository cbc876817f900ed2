"""The keys of the configuration: how each is read, its default, what it means.

Values in, values out; a value that is no good raises ValueError with a text that
names it. The manual page and `resqued config example` are made from FIELDS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import durations
from resqued.errors import ConfigError
from resqued.log import logger
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


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} must be a list of names, as in ['password']")
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


def _long(value: object) -> float:
    """Read a duration of any length; 0 stands for none."""
    try:
        found = durations.seconds(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is {error}") from None
    if not math.isfinite(found):
        raise ValueError(f"{value!r} must be finite")
    return found


def _size(value: object) -> int:
    """Read a number of bytes; 0 stands for none."""
    try:
        return durations.size(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is {error}") from None


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most:  # type: ignore[operator]
            raise ValueError(f"{value!r} must be a whole number from {least} to {most}")
        return int(value)  # type: ignore[call-overload, no-any-return]

    return read


def _core_size(value: object) -> int:
    return -1 if value == -1 else _size(value)


def _mask(value: object) -> str:
    """Read file modes to be withheld; octal, and so a text: TOML has no 022."""
    digits = text(value)
    if len(digits) not in (3, 4) or set(digits) - set("01234567"):
        raise ValueError(f"{value!r} must be three octal digits, such as '022'")
    return digits


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
        "app",
        "directory",
        text,
        "",
        "where it lies; entered anew by each generation",
        '"/srv/myapp/current"',
    ),
    Field(
        "app",
        "environment",
        text,
        "",
        "file of NAME=value, read anew by each generation",
        '"/etc/myapp/environment"',
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
    Field("worker", "jobs_per_child", _whole(1, 10**9), 1, "before a fresh child"),
    Field("worker", "max_jobs", _whole(0, 10**12), 0, "before a fresh worker; 0: ever"),
    Field("worker", "max_age", _long, 0.0, "before a fresh worker; 0: ever", '"12h"'),
    Field(
        "worker",
        "leftovers",
        _choice(("kill", "leave")),
        "kill",
        "what becomes of processes that a job left: kill, leave",
    ),
    Field("worker", "nice", _whole(0, 19), 0, "how much the jobs give way to others"),
    Field("worker", "open_files", _whole(-1, 2**31), -1, "for each job; -1: as it is"),
    Field("worker", "core_size", _core_size, -1, "bytes of a core; -1: as it is"),
    Field("limits", "runtime", _long, 0.0, "for a job; 0: without end", '"15m"'),
    Field("limits", "memory", _size, 0, "for a job; 0: without limit", '"512M"'),
    Field("limits", "grace", _duration, 4.0, "between TERM and KILL", '"4s"'),
    Field("reload", "start_timeout", _positive, 60.0, "for the import", '"60s"'),
    Field(
        "reload",
        "canary_jobs",
        _whole(0, 10**9),
        0,
        "jobs to try a new generation with, by one worker",
    ),
    Field("control", "directory", text, "", "of the control socket", '"/run/resqued"'),
    Field("daemon", "pid_file", text, "", "locked by the master", '"/run/mine.pid"'),
    Field("daemon", "user", text, "", "to become, if started as root", '"resqued"'),
    Field("daemon", "group", text, "", "and its group, if not its own", '"resqued"'),
    Field("daemon", "umask", _mask, "022", "modes that new files lack", '"022"'),
    Field(
        "log", "level", _choice(tuple(logger.LEVELS)), "info", ", ".join(logger.LEVELS)
    ),
    Field("log", "format", _choice(logger.FORMATS), "auto", ", ".join(logger.FORMATS)),
    Field("log", "file", text, "", "instead of standard error", '"/var/log/mine.log"'),
    Field(
        "log",
        "redact",
        _names,
        ("password", "passwd", "secret", "token", "api_key", "authorization"),
        "arguments that are not shown",
        '["password", "passwd", "secret", "token", "api_key", "authorization"]',
    ),
)
# What a class of jobs, a queue and a pool may have of their own.
LIMITS = {f.key: f for f in FIELDS if f.section == "limits" and f.key != "grace"}
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
        lines.append(_line(_assignment(field), field.meaning))
    lines += [
        "",
        "# For one queue, or one class of jobs: what is most specific wins.",
        "# [limits.queue.archive]",
        _line('# runtime = "2h"', "0: without limit"),
        "# [limits.class.Thumbnail]",
        _line('# memory = "1G"', "K, M, G, T: powers of 1,024"),
        "",
        "# One or more pools; with none, the queues of the command line.",
        "[[pool]]",
        _line('queues = "critical,high"', "first one first; *, ?, [a-z] and !name"),
        _line("workers = 4", "how many workers"),
        _line('# runtime = "5m"', "its own limits: runtime, memory"),
    ]
    return "\n".join(lines) + "\n"


def _assignment(field: Field) -> str:
    """Return the key with its default; where that is nothing, a sample to use."""
    is_text = isinstance(field.default, str)
    shown = field.example or (f'"{field.default}"' if is_text else str(field.default))
    is_sample = not field.default and (is_text or field.example not in ("", "false"))
    return f"{'# ' if is_sample else ''}{field.key} = {shown}"


def _line(assignment: str, meaning: str) -> str:
    return f"{assignment:<40} # {meaning}"
