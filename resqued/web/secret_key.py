"""The key that signs sessions: in a file, or only in this process."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from resqued.errors import ConfigError

_LENGTH, _SHORTEST = 32, 16


def secret_key(file: str) -> bytes:
    """Return the key of a file, which is made if it is missing; without a file, one.

    Raises ConfigError if the file cannot be used.
    """
    if not file:
        return os.urandom(_LENGTH)
    path = Path(file)
    try:
        if not path.exists():
            _make(path)
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"[web] secret_file {path} cannot be used: {error.strerror}"
        ) from None
    if len(key) < _SHORTEST:
        raise ConfigError(
            f"[web] secret_file {path} has {len(key)} bytes, and a key has at least"
            f" {_SHORTEST}: remove it, and it is made again"
        )
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigError(
            f"[web] secret_file {path} can be used by everybody on this host, who could"
            " sign sessions: chmod o-rw it, or remove it to have a new key"
        )
    return key


def _make(path: Path) -> None:
    """Make a file with a key; it is whole when another process sees it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(os.urandom(_LENGTH))
        # Another process may have made it meanwhile: then its key counts.
        with suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
