"""Where the configuration file is, if no option names it.

Used by every command, and by the master at each reload.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from resqued.errors import ConfigError

DEFAULT_PATH = Path("/etc/resqued/resqued.toml")


def file_in_use(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file to read, or None if there is none.

    The first of these: the given one, that of RESQUED_CONFIG, the user's own, that of
    the host. A file that is there counts, even if it cannot be read: reading it then
    fails. Without it another Redis could be meant. An empty name, such as that of an
    unset variable, raises ConfigError for the same reason.
    """
    if given == "":
        raise ConfigError("-c '' names no configuration file: give its path, or no -c")
    if named := given or environ.get("RESQUED_CONFIG"):
        return Path(named)
    return next((p for p in (*_of_user(environ), *_of_host()) if p), None)


def usual_paths(environ: Mapping[str, str]) -> list[Path]:
    """Return where a file is looked for, the first one first."""
    own = user_path(environ)
    return [DEFAULT_PATH] if own is None else [own, DEFAULT_PATH]


def user_path(environ: Mapping[str, str]) -> Path | None:
    """Return where the user's own file would be; None without a home directory."""
    # The XDG base directory rules: a relative path counts as not set.
    base, home = Path(environ.get("XDG_CONFIG_HOME", "")), Path(environ.get("HOME", ""))
    if not base.is_absolute():
        if not home.is_absolute():
            return None
        base = home / ".config"
    return base / "resqued" / "resqued.toml"


def _of_user(environ: Mapping[str, str]) -> Iterator[Path]:
    path = user_path(environ)
    # With sudo and su the home directory may still be that of another user, whose
    # configuration must not decide what this one runs.
    with suppress(OSError):
        if path is not None and path.stat().st_uid == os.geteuid():
            yield path


def _of_host() -> Iterator[Path]:
    try:
        DEFAULT_PATH.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        pass  # The directory cannot be searched: reading the file says so.
    yield DEFAULT_PATH
