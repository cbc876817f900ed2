"""systemd's journal: whether a descriptor leads to it, and a writer of records.

Records go to its socket in the native protocol. The functions of libsystemd are not
used: they wait while the socket is full, and a journal that stands still would stop the
pool.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from resqued.errors import ConfigError
from resqued.log.journal_fields import encode, record

_SOCKET = Path("/run/systemd/journal/socket")
# A record that is larger than the socket's buffer goes in a file in memory, which
# nobody can change any more (JOURNAL_NATIVE_PROTOCOL, memfd_create(2)).
_TOO_LARGE = {errno.EMSGSIZE, errno.ENOBUFS}
_SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
)


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


def is_running() -> bool:
    """Return True if this host has a journal."""
    return _SOCKET.exists()


def check() -> None:
    """Raise ConfigError if no journal runs on this host."""
    if not is_running():
        raise ConfigError(
            f"log format journal needs systemd's journal, and there is no {_SOCKET}:"
            " start the journal, or choose another format"
        )


class Writer:
    """Writes events as records; never waits for the journal, never fails.

    A record for which the journal has no room is dropped. The next record that can be
    written is preceded by the number of those that were dropped.
    """

    def __init__(self) -> None:
        self._dropped = 0
        self._owner = os.getpid()

    def msg(self, event: Mapping[str, object]) -> None:
        """Write one record."""
        self.tell_dropped()
        if self._dropped or not _has_sent(record(event)):
            self._dropped += 1

    def tell_dropped(self) -> None:
        """Write the number of dropped records, if there is room for it."""
        if self._owner != os.getpid():
            # What was dropped before the fork is told by the process before.
            self._owner, self._dropped = os.getpid(), 0
        if self._dropped and _has_sent(record(_dropped(self._dropped))):
            self._dropped = 0

    debug = info = warning = error = critical = log = msg


def _dropped(count: int) -> dict[str, object]:
    return {"event": "log_lines_dropped", "level": "warning", "count": count}


def _has_sent(fields: Mapping[str, str]) -> bool:
    """Send a record to the journal; return False if it does not take it.

    The socket is opened for each record: a job may close any descriptor.
    """
    data = encode(fields)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(data, str(_SOCKET))
            except OSError as error:
                if error.errno not in _TOO_LARGE:
                    raise
                _send_file(sock, data)
    except OSError:
        return False
    return True


def _send_file(sock: socket.socket, data: bytes) -> None:
    """Send the descriptor of a file with a record. Raises OSError."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    with os.fdopen(os.memfd_create("journal-record", flags), "wb") as file:
        file.write(data)
        file.flush()
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, _SEALS)
        sock.connect(str(_SOCKET))
        socket.send_fds(sock, [b""], [file.fileno()])
