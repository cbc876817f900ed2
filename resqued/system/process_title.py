"""The title of a process in `ps`. It is for people, so no text in it raises."""

from __future__ import annotations

import setproctitle

# The most characters; a list with wildcards may match thousands of queues.
_MOST = 1_000


def set_title(title: str) -> None:
    """Set the title of this process, cut to 1,000 characters.

    Characters that a title cannot contain, NUL and those that are not UTF-8, are
    escaped as in Python source.
    """
    try:
        setproctitle.setproctitle(title[:_MOST])
    except ValueError:
        text = title[:_MOST].encode("utf-8", "backslashreplace").decode()
        setproctitle.setproctitle(text.replace("\0", "\\x00"))
