"""The title of a process in `ps`: for people, so nothing in it may stop a process."""

from __future__ import annotations

import setproctitle

# Characters; a list with wildcards may match thousands of queues.
_MOST = 1_000


def set_title(title: str) -> None:
    """Set the title of this process, cut to a length that people read.

    What a title cannot hold, NUL and what is not UTF-8, is written as in Python's
    source.
    """
    try:
        setproctitle.setproctitle(title[:_MOST])
    except ValueError:
        text = title[:_MOST].encode("utf-8", "backslashreplace").decode()
        setproctitle.setproctitle(text.replace("\0", "\\x00"))
