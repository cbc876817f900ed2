"""Readers: functions that check and convert one value of the configuration.

Each takes a value of the file, an option or a variable, and returns the value that the
program uses. It raises ValueError with the value and the reason.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping

from resqued.core import durations
from resqued.errors import ConfigError
from resqued.log.events import EVENTS
from resqued.log.logger import LEVELS, OFF
from resqued.store.redis_client import connect

# Seconds. poll(2) takes milliseconds as an int, which overflows after 24 days.
LONGEST = 7 * 86_400.0

_LARGEST_PAYLOAD = 256 << 20


def text(value: object) -> str:
    """Read a string. Nearly all of them name files, which no NUL can be part of."""
    if not isinstance(value, str):
        # A table may have passwords, such as those of users.
        shown = "a table" if isinstance(value, dict) else repr(value)
        raise ValueError(f"{shown} must be a string, in quotes")
    if "\0" in value:
        raise ValueError(f"{value!r} must not contain a NUL character")
    return value


def secret_text(value: object) -> str:
    """Read a string that may have a password: no message has a text."""
    if not isinstance(value, str):
        shown = f"{value!r} " if isinstance(value, int | float) else ""
        raise ValueError(f"{shown}must be a string, in quotes")
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def url(value: object) -> str:
    """Read the URL of a Redis server."""
    found = secret_text(value)
    try:
        connect(found)  # only checks the URL; opens no connection
    except ConfigError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"cannot be read as a url: {error}") from None
    return found


def namespace(value: object) -> str:
    """Read a prefix of keys, which must not be empty."""
    if not text(value):
        raise ValueError("must not be empty; the default is 'resque'")
    return str(value)


def modules(value: object) -> tuple[str, ...]:
    """Read names of modules: a list, or a string with commas between them."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} must be a list of names, as in ['myapp.jobs']")
    for name in value:
        if name.endswith(".py"):
            module = name.removesuffix(".py").strip("./").replace("/", ".")
            raise ValueError(f"{name!r} is a file: name its module, {module}")
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"{name!r} is not the name of a module, such as myapp.jobs"
            )
    return tuple(value)


def names(value: object) -> tuple[str, ...]:
    """Read a list of strings."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} must be a list of names, as in ['password']")
    return tuple(value)


def duration(value: object) -> float:
    """Read a duration of at most 7 days, in seconds."""
    try:
        found = durations.seconds(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is {error}") from None
    except OverflowError:
        found = math.inf
    if not found <= LONGEST:
        raise ValueError(f"{value!r} must be at most 7d")
    return found


def positive(value: object) -> float:
    """Read a duration of more than 0 and at most 7 days, in seconds."""
    if (found := duration(value)) <= 0:
        raise ValueError(f"{value!r} must be more than 0")
    return found


def long_duration(value: object) -> float:
    """Read a duration of any length, in seconds; 0 means no limit."""
    try:
        found = durations.seconds(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is {error}") from None
    if not math.isfinite(found):
        raise ValueError(f"{value!r} must be finite")
    return found


def size(value: object) -> int:
    """Read a number of bytes; 0 means no limit."""
    try:
        return durations.size(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is {error}") from None


def payload_size(value: object) -> int:
    """Read a number of bytes from 1 to 256M: Redis holds no text of 512M."""
    found = size(value)
    if not 1 <= found <= _LARGEST_PAYLOAD:
        raise ValueError(f"{value!r} must be from 1 byte to 256M")
    return found


def whole(least: int, most: int) -> Callable[[object], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most:  # type: ignore[operator]
            raise ValueError(f"{value!r} must be a whole number from {least} to {most}")
        return int(value)  # type: ignore[call-overload, no-any-return]

    return read


def number(least: float, most: float) -> Callable[[object], float]:
    """Return a reader of numbers from `least` to `most`."""

    def read(value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:  # type: ignore[operator]
            raise ValueError(f"{value!r} must be a number from {least:g} to {most:g}")
        return float(value)  # type: ignore[arg-type]

    return read


def exceptions(value: object) -> tuple[str, ...]:
    """Read names of exceptions."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} must be a list of names, as in ['OSError']")
    return tuple(value)


def core_size(value: object) -> int:
    """Read a number of bytes; -1 means unchanged."""
    return -1 if value == -1 else size(value)


def mask(value: object) -> str:
    """Read a umask: a string of octal digits, because TOML has no number 022."""
    digits = text(value)
    if len(digits) not in (3, 4) or set(digits) - set("01234567"):
        raise ValueError(f"{value!r} must be three octal digits, such as '022'")
    return digits


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} must be true or false")
    return value


def event_levels(value: object) -> dict[str, str]:
    """Read a table of log events, each with a level or off."""
    if not isinstance(value, Mapping):
        raise ValueError(
            f'{value!r} must be a table of events, as in {{ job_performed = "off" }}'
        )
    problems = [
        f"there is no event {name!r}{suggest(str(name), EVENTS)}"
        for name in value
        if name not in EVENTS
    ]
    levels = (*LEVELS, OFF)
    problems += [
        f"{name} = {level!r} must be one of {', '.join(levels)}"
        for name, level in value.items()
        if level not in levels
    ]
    if problems:
        raise ValueError("; ".join(problems))
    return dict(value)


def suggest(word: str, known: Collection[str]) -> str:
    """Return a question for the known word that is nearest; "" if none is near."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def choice(options: tuple[str, ...]) -> Callable[[object], str]:
    """Return a reader of one of the given strings."""

    def read(value: object) -> str:
        if value not in options:
            raise ValueError(f"{value!r} must be one of {', '.join(options)}")
        return str(value)

    return read
