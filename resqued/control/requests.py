"""Asking the masters of this host, through their control sockets.

Runs in a command; what answers is control.py, in a master. Most answers come at
once, and one that does not is an error. An answer that waits for something to come
about may take as long as that does; then the master is looked after meanwhile.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from resqued.control import sockets
from resqued.errors import ControlError, NoMasterError

# A master answers within milliseconds, unless it is stopped, or its host is on its
# last legs.
PATIENCE = 5.0
_ROOM = 64 * 1024


class Address(NamedTuple):
    """Where one master is to be asked."""

    pid: int
    path: Path


def places(configured: str, environ: Mapping[str, str]) -> list[Path]:
    """Return the directories to look into.

    If none is named anywhere, that of the system's masters too, whoever asks: a
    service's user need not have the service's environment.
    """
    own = sockets.directory(configured, environ)
    if configured:
        return [own]
    if environ.get("RUNTIME_DIRECTORY"):
        return _with_users(own)
    return list(dict.fromkeys((own, *_with_users(sockets.SYSTEM))))


def _with_users(place: Path) -> list[Path]:
    """Return a directory, and those in it: of users that root starts masters as."""
    found = [place]
    with suppress(OSError):
        found += sorted(below for below in place.iterdir() if below.is_dir())
    return found


def masters(among: Iterable[Path]) -> list[Address]:
    """Return the masters that listen in these directories, by pid."""
    found = {
        Address(int(path.stem), path)
        for place in among
        for path in sockets.find(place)
        if path.stem.isdecimal() and sockets.is_answered(path)
    }
    return sorted(found)


def fetch_statuses(found: Sequence[Address], **request: Any) -> list[dict[str, Any]]:
    """Return what each master says of itself; of one that says nothing, the error."""
    told = []
    for address in found:
        try:
            told.append(ask(address, "status", **request))
        except ControlError as error:
            told.append({"pid": address.pid, "error": str(error)})
    return told


def inaccessible_dirs(among: Iterable[Path]) -> dict[Path, str]:
    """Return those directories that are not for us to look into, and their users."""
    found = {}
    for place in among:
        with suppress(OSError):
            status = place.stat()
            if stat.S_ISDIR(status.st_mode) and not os.access(place, os.R_OK | os.X_OK):
                found[place] = user(status.st_uid)
    return found


def user(uid: int) -> str:
    """Return the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def owner_hint(owner: str) -> str:
    """Return what to tell somebody else than the owner, or root."""
    others = "" if owner == "root" else ", or as root"
    return f"belongs to {owner}: ask as {owner}{others}"


def ask(
    address: Address,
    order: str,
    *,
    waits: bool = False,
    patience: float = PATIENCE,
    **values: Any,
) -> dict[str, Any]:
    """Send a request, and return what the master answered.

    `waits`: the answer may take any time, while the master answers other requests
    within the patience. Raises ControlError in the words of a master that refuses,
    NoMasterError if it gives no answer.
    """
    request = json.dumps({"do": order, **values}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        try:
            sock.connect(str(address.path))
            sock.sendall(request)
        except PermissionError:
            owner = owner_hint(user(address.path.stat().st_uid))
            raise ControlError(f"master {address.pid} {owner}") from None
        except (TimeoutError, BlockingIOError):
            raise _silent(address, patience) from None
        except OSError:
            raise _gone(address) from None
        answer = _last_answer(sock, address, waits=waits, patience=patience)
    if not answer.pop("ok"):
        raise ControlError(f"master {address.pid}: {answer.get('error')}")
    return answer


def _last_answer(
    sock: socket.socket, address: Address, *, waits: bool, patience: float
) -> dict[str, Any]:
    """Return the line that has `ok`."""
    received = b""
    while True:
        *lines, received = received.split(b"\n")
        for line in lines:
            answer = _read(line, address)
            if "ok" in answer:
                return answer
        try:
            chunk = sock.recv(_ROOM)
        except TimeoutError:
            if not waits:
                raise _silent(address, patience) from None
            ask(address, "status", patience=patience)
            continue
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise _gone(address)
        received += chunk


def _read(line: bytes, address: Address) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ControlError(f"master {address.pid} gave an answer that is no answer")
    return value


def _silent(address: Address, patience: float) -> NoMasterError:
    return NoMasterError(
        f"master {address.pid} does not answer within {patience:g} s:"
        f" `ps -o pid,stat,args {address.pid}` says whether it is stopped (T)"
    )


def _gone(address: Address) -> NoMasterError:
    return NoMasterError(f"master {address.pid} has gone, and gave no answer")
