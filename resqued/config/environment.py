"""Reads the environment file of an application."""

from __future__ import annotations

from pathlib import Path

from resqued.errors import ConfigError


def read_environment(path: str) -> dict[str, str]:
    """Return the variables in a file of NAME=value lines.

    The format is that of systemd's EnvironmentFile=, without continuation lines: a
    value may be in quotes, and lines that begin with # or ; are comments. An empty path
    gives no variables. Raises ConfigError with the number of a wrong line, and without
    its value, which may be a secret.
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
            # Not its text: a line of a key may end in =.
            wrong = "no variable name before =" if equals else "there is no ="
            raise ConfigError(
                f"environment file {path}, line {number}: {wrong}: write NAME=value"
            )
        found[name] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value
