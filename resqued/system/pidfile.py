"""The pid file: a lock that the master holds for as long as it lives.

What counts is the lock, flock(2), which the kernel gives back whatever the master
dies of; that the file is there, and what is in it, say nothing by themselves. The
descriptor is closed by exec, so zygote, workers and jobs never hold the lock.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from resqued.errors import AlreadyRunningError, ConfigError

NAME = "resqued.pid"
# Anybody may see which process it is.
MODE = 0o644
# Who looks whether it is locked holds it for an instant.
_PATIENCE = 2.0
_PAUSE = 0.01
# More than a pid has digits.
_ROOM = 32


class PidFile:
    """A pid file whose lock this process holds."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._owner = os.getpid()

    @classmethod
    def take(cls, path: Path) -> PidFile:
        """Create the file if need be, and lock it; it is empty until `write`.

        Raises AlreadyRunningError naming who holds it, ConfigError if it cannot be
        written. Whatever a file holds that nobody locks is of no account.
        """
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            fd = _open(path, os.O_RDWR | os.O_CREAT)
            if _lock(fd, fcntl.LOCK_EX):
                if _is_at(fd, path):
                    os.ftruncate(fd, 0)
                    os.fchmod(fd, MODE)
                    return cls(path, fd)
                # Its owner took it away between our opening it and the lock.
                os.close(fd)
                continue
            # Whom we meet may only be looking, with a lock that can be shared.
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
        """Write the pid of this process, which owns the file from now on."""
        self._owner = os.getpid()
        try:
            os.pwrite(self._fd, f"{self._owner}\n".encode(), 0)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Leave the lock to the process that was forked meanwhile."""
        os.close(self._fd)

    def release(self) -> None:
        """Take the file away, if it is still the same one, and give up the lock."""
        if os.getpid() == self._owner and _is_at(self._fd, self._path):
            try:
                self._path.unlink()
            except OSError:
                # The directory is not ours any more, since we are somebody else.
                os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(path: Path) -> int | None:
    """Return the pid of the master that holds a pid file; None if nobody does.

    0 stands for one that has not written its pid yet. Raises ConfigError if the
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
    """Open a file for reading and writing that nobody can have put a trap into."""
    # Somebody else's link would have root write to where it leads.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, MODE)
    except OSError as error:
        raise _unwritable(path, error) from None
    found = os.fstat(fd)
    # Not so one that has just been taken away: it has no name at all.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(fd)
        raise ConfigError(f"pid file {path} is no plain file of its own")
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
    """Say whether the path still leads to what is open."""
    try:
        there = path.lstat()
    except OSError:
        return False
    ours = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _read(fd: int) -> int:
    line = os.pread(fd, _ROOM, 0).partition(b"\n")[0]
    return int(line) if line.isdigit() else 0
