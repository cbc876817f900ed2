"""Writing to a descriptor without waiting for whoever reads it.

Used by the log in every process. Must not change the mode of a descriptor, which other
programs share.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
import termios

_NO_NOWAIT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.ESPIPE, errno.EINVAL}


def write_now(fd: int, data: bytes) -> int:
    """Write without waiting; return how much was written. Raises OSError.

    RWF_NOWAIT is for pipes and sockets; what does not know it is a file or a terminal,
    or has an old kernel.
    """
    try:
        return os.pwritev(fd, [data], -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in _NO_NOWAIT:
            raise
    return os.write(fd, data)


def has_room(fd: int, size: int) -> bool:
    """Return False if a pipe would take only a part of a line, and has older lines.

    The kernel writes up to PIPE_BUF bytes whole, or not at all. Of a longer line the
    rest would come after lines of other processes. An empty pipe takes the beginning of
    a line that is longer than itself.
    """
    if size <= select.PIPE_BUF:
        return True
    try:
        capacity = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
        waiting = fcntl.ioctl(fd, termios.FIONREAD, bytes(4))
    except OSError:  # no pipe
        return True
    held = int.from_bytes(waiting, sys.byteorder)
    # The first and the last page may be filled in part.
    return not held or held + size + 2 * select.PIPE_BUF <= capacity


def is_file(fd: int) -> bool:
    """Return True if the descriptor is that of a regular file."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def without_waiting(fd: int) -> int:
    """Return the descriptor to write to: for a terminal another one, which never waits.

    The kernel has no single write to a terminal that does not wait, and the mode of the
    given descriptor belongs to other programs, too.
    """
    if os.isatty(fd):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{fd}", flags)
        except OSError:
            return fd  # the terminal belongs to another user
    return fd


def file_behind(fd: int) -> tuple[int, int] | None:
    """Return device and inode of a descriptor; None if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino
