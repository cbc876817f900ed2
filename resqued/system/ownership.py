"""The owners of files, directories and processes, and other users' write access.

Runs in commands and in every process of a pool. Changes nothing.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

# Write access of the group and of all others.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def process_user(pid: int) -> int | None:
    """Return the uid that a process runs as.

    Returns None if the process does not exist, or if its real and effective user
    differ.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Uid:"):
            real, effective = line.split()[1:3]
            return int(real) if real == effective else None
    return None


def is_of_unit(pid: int, name: str) -> bool:
    """Return True if systemd runs a process as the unit `name` (proc(5), cgroup)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(name in line.split("/") for line in lines)


def foreign_writer(place: Path, *, uid: int) -> str:
    """Return who, besides root and the user `uid`, can change the content of `place`.

    The result is a phrase for a message; "" if no such user exists. Checks the
    directory and its parents, through symbolic links: a user who can rename one of them
    can replace the content. In a sticky directory only owners can rename. Raises
    OSError if the directory does not exist.
    """
    found = place.resolve(strict=True)
    for path in (found, *found.parents):
        status = path.stat()
        if status.st_uid not in (0, uid):
            return f"{path} belongs to {user_name(status.st_uid)}"
        is_sticky = path != found and status.st_mode & stat.S_ISVTX
        if status.st_mode & OTHERS_WRITE and not is_sticky:
            return f"{path} can be written by others (mode {status.st_mode & 0o7777:o})"
    return ""


def distrust_of_code(place: Path, *, is_named: bool) -> str:
    """Return why this process must not import from a directory; "" if it may.

    Root imports only from directories that only root can change. Another user imports
    from any directory that the configuration names (`is_named`), and from the working
    directory unless every user can write there, as in /tmp. Raises OSError.
    """
    uid = os.geteuid()
    if uid == 0:
        reason = foreign_writer(place, uid=0)
        remedy = "run it as the user of the application, or have root own the directory"
    else:
        is_open = not is_named and place.stat().st_mode & stat.S_IWOTH
        reason = f"{place} can be written by every user" if is_open else ""
        remedy = "go to the directory of the application, or name it in [app] directory"
    if not reason:
        return ""
    return f"{reason}, and this process runs as {user_name(uid)}: {remedy}"
