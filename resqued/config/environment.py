"""The environment file of an application, as systemd's EnvironmentFile= has it."""

from __future__ import annotations

from pathlib import Path

from resqued.errors import ConfigError


def read_environment(path: str) -> dict[str, str]:
    """Return the variables of a file of NAME=value, as systemd reads one.

    Raises ConfigError naming the line that is none.
    """
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise ConfigError(f"environment file {path} cannot be read: {reason}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        name, equals, value = bare.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{path}:{number}: {bare!r} is not NAME=value")
        found[name] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value
