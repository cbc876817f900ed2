"""systemd's journal: whether a descriptor leads there, and records written to it.

cysystemd writes them, in the journal's own form; where it is not installed, lines
on standard error have to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from resqued.errors import ConfigError
from resqued.log.journal_fields import record

_SOCKET = Path("/run/systemd/journal/socket")


def is_behind(fd: int, environ: Mapping[str, str]) -> bool:
    """Say whether what is written to a descriptor goes to the journal.

    systemd names device and inode of what it has given us (systemd.exec(5)): it
    may have been redirected since.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def is_installed() -> bool:
    """Say whether records can be written."""
    try:
        import cysystemd  # noqa: F401
    except ImportError:
        return False
    return True


def check() -> None:
    """See that records arrive somewhere; raise ConfigError if they would not.

    Without a journal its library drops them, and says that all went well.
    """
    Writer()
    if not _SOCKET.exists():
        raise ConfigError(
            f"log format journal needs the journal of systemd: there is no {_SOCKET}"
        )


class Writer:
    """Writes events as records; raises ConfigError if cysystemd is missing."""

    def __init__(self) -> None:
        try:
            from cysystemd import journal
        except ImportError:
            raise ConfigError(
                "log format journal needs cysystemd: pip install 'resqued[systemd]'"
            ) from None
        self._send = journal.send

    def msg(self, event: Mapping[str, object]) -> None:
        """Write one record; a journal that is away must not stop the pool."""
        try:
            self._send(**record(event))
        except (OSError, RuntimeError, ValueError):
            return

    debug = info = warning = error = critical = log = msg
