"""systemd's journal: whether a descriptor leads to it, and a writer of records.

The package cysystemd writes the records in the journal's native protocol. Without it
the log goes to the journal as lines on standard error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from resqued.errors import ConfigError
from resqued.log.journal_fields import record

_SOCKET = Path("/run/systemd/journal/socket")


def is_behind(fd: int, environ: Mapping[str, str]) -> bool:
    """Return True if what is written to a descriptor goes to the journal.

    JOURNAL_STREAM has the device and inode of the stream that systemd has opened
    (systemd.exec(5)); the descriptor may have been redirected since.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def is_installed() -> bool:
    """Return True if cysystemd is installed."""
    try:
        import cysystemd  # noqa: F401
    except ImportError:
        return False
    return True


def check() -> None:
    """Raise ConfigError if cysystemd is missing or no journal runs on this host.

    Without a journal cysystemd drops records and reports no error.
    """
    Writer()
    if not _SOCKET.exists():
        raise ConfigError(
            f"log format journal needs systemd's journal, and there is no {_SOCKET}:"
            " start the journal, or choose another format"
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
        """Write one record; ignore errors, which must not stop the pool."""
        try:
            self._send(**record(event))
        except (OSError, RuntimeError, ValueError):
            return

    debug = info = warning = error = critical = log = msg
