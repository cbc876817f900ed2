"""Copies of descriptors, for those that code of the application closes.

Code that makes daemons closes all descriptors, or ranges of them, without knowing
whose they are; others close those of the standard streams.
"""

from __future__ import annotations

import fcntl
import os
import resource

from resqued.log.descriptors import file_behind

_STREAMS = (0, 1, 2)
_ERROR = 2
# The copies have the highest numbers, which fewer programs close.
_BELOW_LIMIT = 16
_MOST = 1 << 16


class SpareDescriptors:
    """Copies of the standard streams and of one more descriptor, `fd`.

    Raises OSError if there is no room for them.
    """

    def __init__(self, fd: int) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        least = max(3, min(soft, _MOST) - _BELOW_LIMIT)
        self._fd = fd
        self._known = {
            each: (file_behind(each), fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, least))
            for each in (*_STREAMS, fd)
        }

    def put_back(self) -> tuple[int, int]:
        """Open the standard streams that were closed.

        Returns where standard error and `fd` are now. Their numbers may be those of
        other files, which stay open; then the results are the copies. Raises OSError if
        `fd` and its copy were closed. No other copy stays open.
        """
        places = [_ERROR, self._fd]
        for fd, (identity, copy) in self._known.items():
            is_whole = file_behind(copy) == identity
            now = file_behind(fd)
            if fd in places and now != identity and is_whole:
                if now is not None or fd == self._fd:
                    places[places.index(fd)] = copy
                    continue
            elif fd == self._fd and now != identity:
                raise OSError(f"descriptor {fd} and its copy were closed")
            if now is None:
                _open_stream(fd, copy if is_whole else None)
            if is_whole:
                os.close(copy)
        return places[0], places[1]


def _open_stream(fd: int, copy: int | None) -> None:
    """Open a standard stream that was closed: its copy, or else /dev/null."""
    if copy is not None:
        os.dup2(copy, fd)
        return
    null = os.open(os.devnull, os.O_RDWR)  # may be `fd`, which is free
    if null == fd:
        os.set_inheritable(fd, True)
    else:
        os.dup2(null, fd)
        os.close(null)
