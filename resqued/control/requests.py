"""Asking the masters of this host, through their control sockets.

Runs in a command; what answers is control/server.py, in a master. Most replies come
at once, and one that does not is an error. A reply that waits for something to come
about may take as long as that does; the master is asked for its status meanwhile.
"""

from __future__ import annotations

import math
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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

# A master answers within milliseconds, unless it is stopped, or its host is on its
# last legs.
PATIENCE = 5.0
# Longer than any reply, in bytes: one with a thousand workers has less than 1 MB.
_LONGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class ReplyWait:
    """How long a reply may take that waits for something to come about.

    After `timeout` seconds the command gives up, and what was asked for goes on. While
    it waits, the master is asked how it is. `reason` makes of the answer why it takes
    so long, or ""; `show` is called with each reason that is another than the last one.
    """

    timeout: float = math.inf
    reason: Callable[[StatusReply], str] = lambda _: ""
    show: Callable[[str], object] = lambda _: None


AS_LONG_AS_IT_TAKES = ReplyWait()


class ForeignMasterError(ControlError):
    """The master belongs to another user, whose requests alone it answers."""


class Address(NamedTuple):
    """Where one master is to be asked."""

    pid: int
    path: Path


@dataclass(frozen=True, slots=True)
class SilentMaster:
    """A master that does not say how it is, and why."""

    pid: int
    error: str


def places(configured: str, environ: Mapping[str, str]) -> list[Path]:
    """Return the directories to look into.

    If none is named anywhere, that of the system's masters too, for every user: a
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
        if not sockets.distrust(place)
        for path in sockets.find(place)
        if path.stem.isdecimal() and sockets.is_answered(path)
    }
    return sorted(found)


def fetch_statuses(
    found: Sequence[Address], *, usage: bool = False, patience: float = PATIENCE
) -> list[StatusReply | SilentMaster]:
    """Return what each master says of itself; of one that says nothing, the error."""
    statuses: list[StatusReply | SilentMaster] = []
    for address in found:
        try:
            statuses.append(ask(address, StatusRequest(usage=usage), patience=patience))
        except ControlError as error:
            statuses.append(SilentMaster(address.pid, str(error)))
    return statuses


def inaccessible_dirs(among: Iterable[Path]) -> dict[Path, str]:
    """Return those directories that are not for us to look into, and their users."""
    found = {}
    for place in among:
        with suppress(OSError):
            status = place.stat()
            if stat.S_ISDIR(status.st_mode) and not os.access(place, os.R_OK | os.X_OK):
                found[place] = ownership.user_name(status.st_uid)
    return found


def untrusted_dirs(among: Iterable[Path]) -> dict[Path, str]:
    """Return those directories whose sockets are not asked, and why."""
    return {place: why for place in among if (why := sockets.distrust(place))}


def owner_hint(owner: str) -> str:
    """Return what to tell somebody else than the owner, or root."""
    others = "" if owner == "root" else ", or as root"
    return f"belongs to {owner}: ask as {owner}{others}"


def ask(
    address: Address,
    request: Request[R_co],
    *,
    patience: float = PATIENCE,
    wait: ReplyWait = AS_LONG_AS_IT_TAKES,
) -> R_co:
    """Send a request, and return what the master replies.

    A reply that is awaited may take as long as `wait` says, while the master answers
    others within the patience, in seconds. Raises ControlError in the words of a master
    that refuses or if the wait is over, NoMasterError if there is no reply.
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
    """Return the line of the reply; without `wait` it must come within the patience."""
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

    Raises NoMasterError if it has gone, and ControlError if another process answers.
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
        f" and goes on{reason and f'; {reason}'}"
    )


def _silent(address: Address, patience: float) -> NoMasterError:
    return NoMasterError(
        f"master {address.pid} does not answer within {patience:g} s:"
        f" `ps -o pid,stat,args {address.pid}` says whether it is stopped (T)"
    )


def _gone(address: Address) -> NoMasterError:
    return NoMasterError(f"master {address.pid} has gone, and gave no answer")
