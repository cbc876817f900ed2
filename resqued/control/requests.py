"""Requests to the masters of this host, through their control sockets.

Runs in a command; control/server.py answers, in a master. Most replies come at once,
and it is an error if they do not. A reply that waits for an event takes as long as the
event does; the command asks the master for its status meanwhile.
"""

from __future__ import annotations

import math
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from resqued.control import protocol, sockets
from resqued.control.protocol import (
    BadMessageError,
    ErrorReply,
    R_co,
    Request,
    StatusReply,
    StatusRequest,
)
from resqued.errors import ControlError, NoMasterError
from resqued.system import ownership
from resqued.system.lines import LineReader, LineTooLongError
from resqued.system.process_handle import ProcessHandle

# How long to wait for a reply, in seconds. A master answers within milliseconds, unless
# it is stopped or its host is overloaded.
PATIENCE = 5.0
# Longer than any reply, in bytes: one with a thousand workers has less than 1 MB.
_LONGEST = 16 << 20


class ReplyWait(Struct, frozen=True):
    """How long a reply that waits for an event may take.

    After `timeout` seconds the command gives up, and the master continues. While the
    command waits, it asks for the status of the master. `reason` returns from a status
    why the event has not happened yet, or ""; `show` is called with each new reason.
    """

    timeout: float = math.inf
    reason: Callable[[StatusReply], str] = lambda _: ""
    show: Callable[[str], object] = lambda _: None


AS_LONG_AS_IT_TAKES = ReplyWait()


class ForeignMasterError(ControlError):
    """The master belongs to another user, and answers only that user and root."""


class Address(NamedTuple):
    """The pid and the control socket of one master."""

    pid: int
    path: Path


class SilentMaster(Struct, frozen=True):
    """A master that does not report its status; `error` is the reason."""

    pid: int
    error: str


def places(configured: str, environ: Mapping[str, str]) -> list[Path]:
    """Return the directories in which to look for control sockets.

    If neither configuration nor environment names one, the directory of system services
    is included for every user: a service's user may lack the service's environment.
    """
    own = sockets.directory(configured, environ)
    if configured:
        return [own]
    if environ.get("RUNTIME_DIRECTORY"):
        return _with_users(own)
    return list(dict.fromkeys((own, *_with_users(sockets.SYSTEM))))


def _with_users(place: Path) -> list[Path]:
    """Return a directory and its subdirectories, which masters of other users use."""
    found = [place]
    with suppress(OSError):
        found += sorted(below for below in place.iterdir() if below.is_dir())
    return found


def masters(among: Iterable[Path]) -> list[Address]:
    """Return the masters that listen in these directories, by pid."""
    found = {
        Address(int(path.stem), path)
        for place in among
        if not sockets.distrust(place)
        for path in sockets.find(place)
        if path.stem.isdecimal() and sockets.is_answered(path)
    }
    return sorted(found)


def fetch_statuses(
    found: Sequence[Address], *, usage: bool = False, patience: float = PATIENCE
) -> list[StatusReply | SilentMaster]:
    """Return the status of each master, or the error of one that does not answer."""
    statuses: list[StatusReply | SilentMaster] = []
    for address in found:
        try:
            statuses.append(ask(address, StatusRequest(usage=usage), patience=patience))
        except ControlError as error:
            statuses.append(SilentMaster(address.pid, str(error)))
    return statuses


def inaccessible_dirs(among: Iterable[Path]) -> dict[Path, str]:
    """Return the directories that this user may not read, with their owners."""
    found = {}
    for place in among:
        with suppress(OSError):
            status = place.stat()
            if stat.S_ISDIR(status.st_mode) and not os.access(place, os.R_OK | os.X_OK):
                found[place] = ownership.user_name(status.st_uid)
    return found


def untrusted_dirs(among: Iterable[Path]) -> dict[Path, str]:
    """Return the directories whose sockets are not trusted, with the reasons."""
    return {place: why for place in among if (why := sockets.distrust(place))}


def owner_hint(owner: str) -> str:
    """Return a hint for a user who is neither the owner nor root."""
    others = "" if owner == "root" else ", or as root"
    return f"belongs to {owner}: ask as {owner}{others}"


def ask(
    address: Address,
    request: Request[R_co],
    *,
    patience: float = PATIENCE,
    wait: ReplyWait = AS_LONG_AS_IT_TAKES,
) -> R_co:
    """Send a request, and return the reply of the master.

    `patience` is how many seconds a reply may take. A reply that waits for an event may
    take as long as `wait` allows, while the master answers other requests within the
    patience. Raises ControlError with the text of a master that refuses, or if the
    wait is over; NoMasterError if no reply comes.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        try:
            sock.connect(str(address.path))
            sockets.check_peer(sock, address.path)
            sock.sendall(protocol.encode_request(request))
        except PermissionError:
            owner = owner_hint(ownership.user_name(address.path.stat().st_uid))
            raise ForeignMasterError(f"master {address.pid} {owner}") from None
        except (TimeoutError, BlockingIOError):
            raise _silent(address, patience) from None
        except OSError:
            raise _gone(address) from None
        is_awaited = protocol.is_awaited(request)
        line = _read(sock, address, patience, wait if is_awaited else None)
    try:
        reply = protocol.decode_reply(line, request)
    except BadMessageError as error:
        raise _strange(address, error) from None
    if isinstance(reply, ErrorReply):
        raise ControlError(f"master {address.pid}: {reply.error}")
    return reply


def _read(
    sock: socket.socket, address: Address, patience: float, wait: ReplyWait | None
) -> bytes:
    """Return the line of the reply, which must come within the patience.

    With `wait` it may take longer, as long as the master answers status requests.
    """
    lines = LineReader(sock.fileno(), longest=_LONGEST)
    last = math.inf if wait is None else time.monotonic() + wait.timeout
    shown = ""
    while True:
        try:
            line = lines.read(min(last, time.monotonic() + patience))
        except TimeoutError:
            if wait is None:
                raise _silent(address, patience) from None
            status = ask(address, StatusRequest(), patience=patience)
            if time.monotonic() >= last:
                raise _late(address, wait, status) from None
            if (reason := wait.reason(status)) not in ("", shown):
                wait.show(reason)
                shown = reason
        except ConnectionError:
            raise _gone(address) from None
        except LineTooLongError as error:
            raise _strange(address, error) from None
        else:
            if line is None:
                raise _gone(address)
            return line


def open_process(address: Address) -> ProcessHandle:
    """Return a handle of the master that listens at an address.

    Raises NoMasterError if it has exited, and ControlError if another process answers.
    """
    handle = ProcessHandle.open(address.pid)
    if handle is None:
        raise _gone(address)
    try:
        # The process still runs, so the peer that has its pid is this process.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(address.path))
            peer = sockets.check_peer(sock, address.path)
        if peer.pid != address.pid:
            raise ControlError(
                f"process {peer.pid} answers at {address.path}, not {address.pid}:"
                " stop it in its own container"
            )
    except OSError:
        handle.close()
        raise _gone(address) from None
    except ControlError:
        handle.close()
        raise
    return handle


def _strange(address: Address, error: Exception) -> ControlError:
    return ControlError(
        f"master {address.pid} gives a reply that this version does not understand:"
        f" {error}"
    )


def _late(address: Address, wait: ReplyWait, status: StatusReply) -> ControlError:
    reason = wait.reason(status)
    return ControlError(
        f"master {address.pid} has not got there within {wait.timeout:g} s,"
        f" and continues{reason and f'; {reason}'}"
    )


def _silent(address: Address, patience: float) -> NoMasterError:
    return NoMasterError(
        f"master {address.pid} does not answer within {patience:g} s:"
        f" `ps -o pid,stat,args {address.pid}` says whether it is stopped (T)"
    )


def _gone(address: Address) -> NoMasterError:
    return NoMasterError(f"master {address.pid} has gone, and gave no answer")
