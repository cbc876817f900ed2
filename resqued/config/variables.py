"""The environment variables that set a key of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resqued.config.schema import BY_NAME
from resqued.errors import ConfigError


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
    ("failure", "backends", ("RESQUED_FAILURE_BACKENDS", "FAILURE_BACKEND"), str),
    ("limits", "grace", ("RESQUED_GRACE", "RESQUE_TERM_TIMEOUT"), str),
    ("log", "level", ("RESQUED_LOG_LEVEL",), str),
    # Variables of Resque; there, too, the more verbose one applies (wire format 5.1).
    ("log", "level", ("VVERBOSE",), _if_true("debug")),
    ("log", "level", ("VERBOSE",), _if_true("info")),
    ("log", "level", ("LOGGING",), _if_true("info")),
    ("log", "format", ("RESQUED_LOG_FORMAT",), str),
    ("log", "file", ("RESQUED_LOG_FILE",), str),
    ("web", "listen", ("RESQUED_WEB_LISTEN",), str),
    ("web", "secret_file", ("RESQUED_WEB_SECRET_FILE",), str),
    ("daemon", "pid_file", ("RESQUED_PIDFILE", "PIDFILE"), str),
)
