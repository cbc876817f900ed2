"""The pid file: a lock that the master holds as long as it runs.

Only the lock, flock(2), shows that a master runs: the kernel releases it however the
master dies. The existence and the content of the file prove nothing. The descriptor is
closed by exec, so zygote, workers and jobs never hold the lock. The descriptor is
read-only: a job that takes it from the master cannot change the pid.

A command signals the process that a pid file names. So the file is trusted only if it
belongs to root, or to the user of that process.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from resqued.errors import (
    AlreadyRunningError,
    ConfigError,
    ResquedError,
    unwritable,
)
from resqued.system import ownership

NAME = "resqued.pid"
# Who can read a file can lock it, and then no master could start.
MODE = 0o600
# How long to retry, in seconds: a process that only tests the lock holds it briefly.
_PATIENCE = 2.0
_PAUSE = 0.01
# Through a link that another user has made, root would write to any file; opening a
# pipe would wait.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# How many bytes are read; more than a pid has digits.
_ROOM = 32
# No pid is larger (proc(5), pid_max).
_LARGEST_PID = 1 << 22


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
        AlreadyRunningError with the pid of the process that holds the lock,
        ConfigError if the file belongs to another user or cannot be written, and
        FileCreationError if the disk is full or read-only.
        """
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            fd = _open(path)
            if _lock(fd, fcntl.LOCK_EX):
                if _is_at(fd, path):
                    return cls._emptied(path, fd)
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
    def _emptied(cls, path: Path, fd: int) -> PidFile:
        """Return the locked file, after its content was removed."""
        file = cls(path, fd)
        try:
            os.fchmod(fd, MODE)
            file._store(b"")
        except OSError as error:
            os.close(fd)
            raise _unwritable(path, error) from None
        except ResquedError:
            os.close(fd)
            raise
        return file

    @classmethod
    def inherited(cls, path: Path, fd: int) -> PidFile:
        """Return a file whose descriptor another program has left open, and locked."""
        os.set_inheritable(fd, False)
        return cls(path, fd)

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._path

    def fileno(self) -> int:
        """Return the descriptor that holds the lock."""
        return self._fd

    def write(self) -> None:
        """Write the pid of this process, which owns the file from now on.

        Raises ConfigError if the file cannot be written, FileCreationError if the disk
        is full or read-only.
        """
        self._owner = os.getpid()
        self._store(f"{self._owner}\n".encode())

    def _store(self, text: bytes) -> None:
        """Replace the content of the file, through a separate descriptor."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.path.sameopenfile(fd, self._fd):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, text, 0)
            finally:
                os.close(fd)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Close the descriptor here; the process that was forked keeps the lock."""
        os.close(self._fd)

    def release(self) -> None:
        """Remove the file if the path still leads to it, and release the lock.

        The file stays if this process has become another user, who cannot write the
        directory: the command that stops the master removes it then (`remove_stale`).
        """
        if os.getpid() == self._owner and _is_at(self._fd, self._path):
            with suppress(OSError):
                self._path.unlink()
        os.close(self._fd)


def holder(path: Path) -> int | None:
    """Return the pid of the master that holds a pid file; None if no process does.

    Returns 0 if the master has not written its pid yet. Raises ConfigError if the file
    cannot be read, or if its owner has named a process of another user.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _SAFELY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"pid file {path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"pid file {path} is not a regular file: remove it")
        if _lock(fd, fcntl.LOCK_SH):
            return None
        pid = _read(fd)
        if pid:
            _check(path, status, pid)
        return pid
    finally:
        os.close(fd)


def _check(path: Path, status: os.stat_result, pid: int) -> None:
    """Raise ConfigError if a file may not name a process."""
    user = ownership.process_user(pid)
    # A process that does not exist gets no signal, so the owner does not matter.
    if user is None and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - a pid
        return
    owner = status.st_uid
    if owner not in (0, user):
        of = "several users" if user is None else ownership.user_name(user)
        raise ConfigError(
            f"pid file {path} belongs to {ownership.user_name(owner)} and names process"
            f" {pid} of {of}, so it is not trusted: remove it, or name another one"
        )
    if status.st_mode & ownership.OTHERS_WRITE:
        raise ConfigError(
            f"pid file {path} can be written by others, so it is not trusted:"
            " remove it, or name another one"
        )


def remove_stale(path: Path) -> None:
    """Remove the pid file of a master that has ended, if no other process holds it."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | _SAFELY)
        try:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            if is_file and _lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
                path.unlink()
        finally:
            os.close(fd)


def _open(path: Path) -> int:
    """Open a file to lock it, and create it if it is missing.

    Raises ConfigError if it is a link, is not a regular file, or belongs to another
    user, who could write any pid into it later.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | _SAFELY, MODE)
    except OSError as error:
        raise _unwritable(path, error) from None
    status = os.fstat(fd)
    # A file that has just been removed has no link at all, and passes.
    fault = ""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        fault = "is not a regular file with one name"
    elif status.st_uid not in (0, os.geteuid()):
        fault = f"belongs to {ownership.user_name(status.st_uid)}"
    if fault:
        os.close(fd)
        raise ConfigError(
            f"pid file {path} {fault}: remove it, or name another one (--pidfile)"
        )
    return fd


def _unwritable(path: Path, error: OSError) -> ResquedError:
    return unwritable(f"pid file {path}", error)


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
    pid = int(line) if line.isdigit() else 0
    return pid if pid <= _LARGEST_PID else 0
