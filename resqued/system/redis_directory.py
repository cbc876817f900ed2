"""The directory of the embedded server, writable only by the user of this process.

Another user who could write there could choose the process that a stop signals, the
server that clients connect to, and, by a link, a file to be overwritten.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resqued.errors import EmbeddedServerError
from resqued.system import ownership

RECORD = "server.json"
CONFIGURATION = "server.conf"
PASSWORD = "password"  # noqa: S105 - the name of its file
# Do not follow links, and do not wait at a pipe.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def locked(directory: Path) -> Iterator[Path]:
    """Lock the directory against other starts; yield the path of the record."""
    record = directory / RECORD
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check(directory)
        # The record holds a password.
        lock = os.open(record, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
    except OSError as error:
        raise unusable(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield record
    finally:
        os.close(lock)


def check(directory: Path) -> None:
    """Raise EmbeddedServerError if another user can write to the directory.

    That includes what another user has put there before. Raises OSError if the
    directory does not exist.
    """
    status = directory.lstat()
    owner = ownership.user_name(status.st_uid)
    if not stat.S_ISDIR(status.st_mode):
        reason = "is no directory, or a link to one"
    elif status.st_uid != os.geteuid():
        reason = f"belongs to {owner}"
    elif status.st_mode & ownership.OTHERS_WRITE:
        reason = f"can be written by others: chmod 700 {directory}"
    elif (name := _foreign(directory)) is not None:
        reason = f"has a file that was put there by others: remove {name}"
    else:
        return
    raise EmbeddedServerError(
        f"directory {directory} {reason}, or choose another directory"
    )


def _foreign(directory: Path) -> str | None:
    """Return the name of a file of another user, or of a link; None without one."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # a server has renamed it
                continue
            is_linked = stat.S_ISLNK(status.st_mode) or (
                stat.S_ISREG(status.st_mode) and status.st_nlink > 1
            )
            if is_linked or status.st_uid != os.geteuid():
                return entry.name
    return None


def configure(directory: Path, settings: str) -> str:
    """Write the configuration file of the server; return its path."""
    path = directory / CONFIGURATION
    write(path, settings)
    return str(path)


def password(directory: Path) -> str:
    """Return the password of the servers in a directory; create one if necessary."""
    path = directory / PASSWORD
    try:
        found = read(path).strip()
    except FileNotFoundError:
        found = ""
    except OSError as error:
        raise unusable(directory, error) from error
    if not found:
        found = secrets.token_urlsafe(24)
        write(path, found + "\n")
    return found


def read(path: Path) -> str:
    """Return the text of a file; raise OSError, also for a symbolic link."""
    with os.fdopen(os.open(path, os.O_RDONLY | _SAFELY), encoding="utf-8") as file:
        return file.read()


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can read; raise EmbeddedServerError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(fd, 0o600)
            file.write(text)
    except OSError as error:
        raise unusable(path.parent, error) from error


def unusable(directory: Path, error: OSError) -> EmbeddedServerError:
    """Return the error for a directory that cannot be read or written."""
    return EmbeddedServerError(
        f"directory {directory} cannot be used: {error.strerror}"
    )
