"""The places of control sockets, and whether a process listens at one."""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from resqued.errors import ControlError
from resqued.system import ownership, process

SUFFIX = ".sock"
_PID = re.compile("[0-9]+")
# The default directory for masters of root, and for those that systemd starts.
SYSTEM = Path("/run/resqued")
_CREDENTIALS = struct.Struct("=iII")


class Credentials(NamedTuple):
    """The process and user at the other end of a connection (SO_PEERCRED)."""

    pid: int
    uid: int


def credentials(sock: socket.socket) -> Credentials:
    """Return the process and user at the other end of a connected Unix socket."""
    pid, uid, _ = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return Credentials(pid, uid)


def directory(configured: str, environ: Mapping[str, str]) -> Path:
    """Return the directory for the sockets of this user's masters.

    The first of: the configured one; that of systemd (RuntimeDirectory=); /run/resqued
    for root; the user's own below XDG_RUNTIME_DIR; the user's own below /tmp.
    """
    given = configured or environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return SYSTEM
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime, "resqued")
    return Path(f"/tmp/resqued-{os.geteuid()}")  # noqa: S108 - checked in prepare


def prepare(place: Path) -> None:
    """Create the directory; raise ControlError if it belongs to another user."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_prepared(place)
    except OSError as error:
        raise ControlError(f"{place} cannot be made: {error.strerror}") from None


def is_prepared(place: Path) -> bool:
    """Return True if the directory exists; raise ControlError if it is not safe."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        owner = ownership.user_name(found.st_uid)
        raise ControlError(
            f"{place} belongs to {owner}, so only {owner} can run masters there;"
            " choose another one"
        )
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & ownership.OTHERS_WRITE:
        raise ControlError(f"{place} can be written by others; choose another one")
    return True


def distrust(place: Path) -> str:
    """Return why sockets in a directory are not trusted; "" if they are, or without it.

    Any user can listen at a socket in a directory where that user can write. Root sends
    requests to the masters of each user in a directory of that user.
    """
    try:
        found = place.lstat()
    except OSError:
        return ""
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_mode & ownership.OTHERS_WRITE:
        return "can be written by others"
    if os.geteuid() != 0 and found.st_uid not in (0, os.geteuid()):
        return f"belongs to {ownership.user_name(found.st_uid)}"
    return ""


def check_peer(sock: socket.socket, path: Path) -> Credentials:
    """Return the peer of a socket; raise ControlError if its user is not trusted.

    Root and the user of this process are trusted. Root also trusts the owner of the
    directory.
    """
    peer = credentials(sock)
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0:
        trusted.add(path.parent.stat().st_uid)
    if peer.uid not in trusted:
        raise ControlError(
            f"process {peer.pid} of {ownership.user_name(peer.uid)} answers at {path},"
            " so the answer is not trusted"
        )
    return peer


def remove_stale(place: Path) -> None:
    """Remove the sockets of masters that were killed."""
    for path in find(place):
        is_alive = process.start_time(int(path.stem)) is not None
        if not is_alive and not is_answered(path):
            path.unlink(missing_ok=True)


def find(place: Path) -> list[Path]:
    """Return the sockets of masters in a directory, by name."""
    with suppress(OSError):
        found = sorted(place.glob(f"*{SUFFIX}"))
        return [
            path for path in found if _PID.fullmatch(path.stem) and path.is_socket()
        ]
    return []


def is_answered(path: Path) -> bool:
    """Return True if a process listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(str(path))
        except BlockingIOError:
            return True  # the queue of waiting connections is full
        except OSError as error:
            return isinstance(error, PermissionError)
    return True
