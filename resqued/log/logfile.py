"""The log file: standard output and error of a process, and how it is reopened.

Used by master, zygote and workers; a child keeps the file that its worker had at the
fork. To rotate the log, rename the file and reload the master. Processes append to
the file, so that none overwrites the lines of another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resqued.errors import ResquedError, unwritable
from resqued.log import logger
from resqued.log.logger import Logger

# Error messages may hold data of the application that not every user should read.
MODE = 0o640
_STREAMS = (1, 2)


def prepare(path: Path, *, owner: tuple[int, int] | None) -> None:
    """Create the file if it is missing.

    `owner` is the uid and gid of the user that will write to it, None for the user of
    this process. With an owner an existing file is not opened: the owner may have put
    a link in its place, which root must not follow. Raises ConfigError if the file
    cannot be created or, without an owner, written; FileCreationError if the disk is
    full or read-only.
    """
    try:
        if owner is None:
            os.close(_open(path))
            return
        with suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
            os.fchown(fd, *owner)
            os.close(fd)
    except OSError as error:
        raise _unwritable(path, error) from None


def begin(path: Path) -> None:
    """Send standard output and error to the file; raise ConfigError if that fails."""
    try:
        reopen(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ResquedError:
    return unwritable(f"log file {path}", error)


def reopen(path: str | Path) -> None:
    """Open the file at this path again, and send standard output and error to it.

    Raises OSError if it cannot be opened; then the streams stay as they are.
    """
    fd = _open(path)
    _redirect(fd)
    os.close(fd)


def follow(path: str | Path, own_log: Logger) -> bool:
    """Reopen the file; on failure log an error, keep the old file and return False."""
    try:
        reopen(path)
    except OSError as error:
        own_log.error("log_not_reopened", file=str(path), error=error.strerror)
        return False
    return True


@contextmanager
def redirected(path: Path | None) -> Iterator[None]:
    """Send standard output and error to the file, if any, and restore them at the end.

    An error that ends the master is then printed where the master was started, too.
    Raises ConfigError if the file cannot be written.
    """
    if path is None:
        yield
        return
    before = [os.dup(fd) for fd in _STREAMS]
    try:
        begin(path)
        yield
    finally:
        _flush()
        for old, stream in zip(before, _STREAMS, strict=True):
            os.dup2(old, stream)
            os.close(old)


def _open(path: str | Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    return os.open(path, flags, MODE)


def _redirect(fd: int) -> None:
    """Make `fd` standard output and error, also of processes started from now on."""
    _flush()
    for stream in {*_STREAMS, logger.descriptor()}:
        os.dup2(fd, stream, inheritable=stream in _STREAMS)
    logger.note_streams()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
