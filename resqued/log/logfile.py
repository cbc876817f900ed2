"""The log file: standard output and error of a process, and its reopening.

Runs wherever something is written: master, zygote and workers. Children have what
their worker had when they were forked. Whoever rotates the file renames it and has
the master reload; lines are appended, so that nobody writes over another's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resqued.errors import ConfigError
from resqued.log.logger import Logger

# Errors may tell more of an application than everybody should read.
MODE = 0o640
_STREAMS = (1, 2)


def prepare(path: Path, *, owner: tuple[int, int] | None) -> None:
    """See that the file is there; raise ConfigError if it cannot be made or written.

    `owner`, a user and a group, is who will write to it. A file that is there is
    left to him: root does not open what he may have put in its place.
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
    """Write to the file from now on; raise ConfigError if it cannot be written."""
    try:
        reopen(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"log file {path} cannot be written: {error.strerror}")


def reopen(path: str | Path) -> None:
    """Write to what the file is now; raise OSError if that cannot be opened."""
    fd = _open(path)
    _point(fd)
    os.close(fd)


def follow(path: str | Path, own_log: Logger) -> bool:
    """Write to what the file is now; if that fails, say so and keep the old one."""
    try:
        reopen(path)
    except OSError as error:
        own_log.error("log_not_reopened", file=str(path), error=error.strerror)
        return False
    return True


@contextmanager
def redirected(path: Path | None) -> Iterator[None]:
    """Write to the file, if there is one; in the end to where it was before.

    So what keeps a master from running is told where it was started, too.
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


def _point(fd: int) -> None:
    """Make it standard output and error, of this process and whom it starts."""
    _flush()
    for stream in _STREAMS:
        os.dup2(fd, stream)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
