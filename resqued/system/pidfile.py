"""The pid file: a lock that the master holds as long as it runs.

The lock, flock(2), decides: the kernel releases it however the master dies. That the
file exists, and what it contains, prove nothing. The descriptor is closed by exec, so
zygote, workers and jobs never hold the lock.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from resqued.errors import AlreadyRunningError, ConfigError

NAME = "resqued.pid"
# Any user may read the pid.
MODE = 0o644
# How long to retry, in seconds: a process that only tests the lock holds it briefly.
_PATIENCE = 2.0
_PAUSE = 0.01
# More bytes than a pid has digits.
_ROOM = 32


class PidFile:
    """A pid file whose lock this process holds."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._owner = os.getpid()

    @classmethod
    def take(cls, path: Path) -> PidFile:
        """Create the file if it is missing, and lock it; it is empty until `write`.

        The content of a file that no process has locked is ignored. Raises
        AlreadyRunningError with the pid of the process that holds the lock, and
        ConfigError if the file cannot be written.
        """
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            fd = _open(path, os.O_RDWR | os.O_CREAT)
            if _lock(fd, fcntl.LOCK_EX):
                if _is_at(fd, path):
                    os.ftruncate(fd, 0)
                    os.fchmod(fd, MODE)
                    return cls(path, fd)
                # Its owner removed it after we opened it and before we locked it.
                os.close(fd)
                continue
            # The other process may only be testing the lock, with a shared lock.
            is_held = not _lock(fd, fcntl.LOCK_SH)
            pid = _read(fd)
            os.close(fd)
            if is_held or time.monotonic() >= give_up_at:
                raise AlreadyRunningError(path, pid)
            time.sleep(_PAUSE)

    @classmethod
    def inherited(cls, path: Path, fd: int) -> PidFile:
        """Return a file whose descriptor another program has left open, and locked."""
        os.set_inheritable(fd, False)
        return cls(path, fd)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._path

    def fileno(self) -> int:
        """Return the descriptor that holds the lock."""
        return self._fd

    def write(self) -> None:
        """Write the pid of this process, which owns the file from now on.

        Raises ConfigError if the file cannot be written.
        """
        self._owner = os.getpid()
        try:
            os.pwrite(self._fd, f"{self._owner}\n".encode(), 0)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Close the descriptor here; the process that was forked keeps the lock."""
        os.close(self._fd)

    def release(self) -> None:
        """Remove the file if the path still leads to it, and release the lock."""
        if os.getpid() == self._owner and _is_at(self._fd, self._path):
            try:
                self._path.unlink()
            except OSError:
                # This process has become another user and cannot write the directory.
                os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(path: Path) -> int | None:
    """Return the pid of the master that holds a pid file; None if no process does.

    Returns 0 if the master has not written its pid yet. Raises ConfigError if the
    file cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"pid file {path} cannot be read: {error.strerror}") from None
    try:
        return None if _lock(fd, fcntl.LOCK_SH) else _read(fd)
    finally:
        os.close(fd)


def _open(path: Path, flags: int) -> int:
    """Open a file; raise ConfigError if it is a link or is not a regular file."""
    # Through a link that another user has made, root would write to any file.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, MODE)
    except OSError as error:
        raise _unwritable(path, error) from None
    status = os.fstat(fd)
    # A file that has just been removed has no link at all, and passes.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(fd)
        raise ConfigError(
            f"pid file {path} is not a regular file with one name: remove it,"
            " or name another one"
        )
    return fd


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"pid file {path} cannot be written: {error.strerror}")


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Return True if the path leads to the file that is open as `fd`."""
    try:
        at_path = path.lstat()
    except OSError:
        return False
    opened = os.fstat(fd)
    return (at_path.st_dev, at_path.st_ino) == (opened.st_dev, opened.st_ino)


def _read(fd: int) -> int:
    line = os.pread(fd, _ROOM, 0).partition(b"\n")[0]
    return int(line) if line.isdigit() else 0
