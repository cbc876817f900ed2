"""The control socket: requests from people of this host, and answers to them.

A Unix socket of mode 0600, in a directory of its owner. The kernel reports the user at
the other end (SO_PEERCRED, unix(7)), who must be root or the master's own user. A
connection has one request and one reply, a line each (control/protocol.py).
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

from resqued.control import protocol, sockets
from resqued.control.protocol import AnyRequest, BadMessageError, ErrorReply, Reply
from resqued.errors import ControlError
from resqued.log.logger import Logger
from resqued.system import process
from resqued.system.lines import LineReader, LineTooLongError
from resqued.system.poller import Poller

# Longer than any request, in bytes.
_LONGEST = 64 << 10
# Errors of accept(2) that leave the connection waiting: no descriptors, no memory.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# Seconds until the next try after one of them.
_RETRY_INTERVAL = 1.0


class Peer:
    """One connection: the user at the other end, the request, and its reply."""

    def __init__(
        self, sock: socket.socket, poller: Poller, *, has_asked: bool = False
    ) -> None:
        self._socket = sock
        self._poller = poller
        self._lines = LineReader(sock.fileno(), longest=_LONGEST)
        self._has_asked = has_asked
        self._out = b""
        sock.setblocking(False)
        pid, self.uid = sockets.credentials(sock)
        self.name = process.describe(pid, self.uid)
        self.is_closed = False
        self._is_answered = False

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def may_ask(self) -> bool:
        """Whether the peer is root, or the user of this process."""
        return self.uid in (0, os.geteuid())

    @property
    def events(self) -> int:
        """The events to wait for, for poll(2), which always reports a hang-up."""
        # A connection has one request: bytes after it are never read. A peer that has
        # closed its sending direction may still wait for the reply.
        is_over = self._has_asked or self._lines.has_ended
        reading = 0 if is_over else select.POLLIN
        return reading | (select.POLLOUT if self._out else 0)

    def line(self) -> bytes | None:
        """Return the line of the request, once, when it is complete; else None."""
        if self.is_closed or self._has_asked:
            return None
        try:
            self._lines.receive()
            line = self._lines.take()
        except BlockingIOError:
            return None
        except (OSError, LineTooLongError):
            self.close()
            return None
        self._has_asked = line is not None
        if self._lines.has_ended and not self._has_asked:
            self.close()
        return line

    def see(self) -> None:
        """Close the connection if the peer has closed both of its directions."""
        poll = select.poll()
        poll.register(self._socket, 0)
        if poll.poll(0):
            self.close()

    def answer(self, reply: Reply) -> None:
        """Send the reply, and close the connection when all of it is sent."""
        self._out += protocol.encode_reply(reply)
        self._is_answered = True
        self.flush()

    def refuse(self, reason: str) -> None:
        """Reply that the request is refused or has failed."""
        self.answer(ErrorReply(error=reason))

    def flush(self) -> None:
        """Send as much of the reply as the socket has room for."""
        try:
            while self._out:
                self._out = self._out[self._socket.send(self._out) :]
        except BlockingIOError:
            self.update()
            return
        except OSError:
            self._out = b""
            self._is_answered = True
        if self._is_answered:
            self.close()
        else:
            self.update()

    def update(self) -> None:
        """Register the present `events` with the poller."""
        if not self.is_closed:
            self._poller.modify(self.fileno(), self.events)

    def close(self) -> None:
        """Close the connection."""
        if not self.is_closed:
            self._poller.unregister(self.fileno())
        self.is_closed = True
        self._socket.close()


class ControlServer:
    """The socket of one master; `handle` is called once with each valid request."""

    def __init__(
        self,
        place: Path,
        handle: Callable[[Peer, AnyRequest, float], None],
        poller: Poller,
        log: Logger,
    ) -> None:
        self._handle = handle
        self._poller = poller
        self._log = log
        self._peers: list[Peer] = []
        self._socket: socket.socket | None = None
        # When to listen again, after there was no descriptor for a connection, and
        # whether that was logged and has not been overcome since.
        self._listen_at = inf
        self._is_short = False
        self.path = place / f"{os.getpid()}{sockets.SUFFIX}"

    def fileno(self) -> int | None:
        """Return the listening descriptor, or None if the master does not listen."""
        return None if self._socket is None else self._socket.fileno()

    def resume(self, fd: int | None, asker: int | None) -> Peer | None:
        """Take over the descriptors of the older program of this master.

        `fd` listens; `asker` is the connection that waits for the replacement, and is
        returned as a Peer. None: no such descriptor.
        """
        if fd is not None:
            os.set_inheritable(fd, False)
            self._socket = socket.socket(fileno=fd)
            self._poller.register(fd, self._accept)
        if asker is None:
            return None
        os.set_inheritable(asker, False)
        return self._add(socket.socket(fileno=asker), has_asked=True)

    def _add(self, sock: socket.socket, *, has_asked: bool = False) -> Peer:
        """Register a new connection, and wait for its request."""
        peer = Peer(sock, self._poller, has_asked=has_asked)
        self._peers = [known for known in self._peers if not known.is_closed]
        self._peers.append(peer)
        self._poller.register(peer.fileno(), self._hearing(peer), peer.events)
        return peer

    def open(self) -> None:
        """Listen; if that is not possible, log a warning: the master works without."""
        try:
            sockets.prepare(self.path.parent)
            sockets.remove_stale(self.path.parent)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if sockets.is_answered(self.path):
                raise ControlError(f"{self.path} is of a master in another container")
            self.path.unlink(missing_ok=True)
            # No process can connect before listen, so the mode is set in time.
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)
            self._socket.listen(16)
            self._socket.setblocking(False)
            self._poller.register(self._socket.fileno(), self._accept)
        except (OSError, ControlError) as error:
            self._log.warning("control_unavailable", reason=str(error))
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _accept(self, now: float) -> None:
        assert self._socket is not None, "its descriptor was waited on"
        try:
            sock, _ = self._socket.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._stand_back(now, error)
            return
        self._is_short = False
        with suppress(OSError):
            peer = self._add(sock)
            if not peer.may_ask:
                self._log.warning("control_refused", sent_by=peer.name)
                peer.close()

    # A part of the master's loop

    def due(self, _now: float) -> float:
        """Return when to listen again, or infinity."""
        return self._listen_at

    def turn(self, now: float) -> None:
        """Listen again, if it is time to."""
        if now >= self._listen_at:
            self._listen_at = inf
            if self._socket is not None:
                self._poller.modify(self._socket.fileno(), select.POLLIN)

    def _stand_back(self, now: float, error: OSError) -> None:
        """Leave who connects waiting for a while: the listener stays ready for them."""
        assert self._socket is not None, "it was to accept a connection"
        self._listen_at = now + _RETRY_INTERVAL
        self._poller.modify(self._socket.fileno(), 0)
        if not self._is_short:
            self._is_short = True
            self._log.warning("control_unavailable", reason=error.strerror)

    def _hearing(self, peer: Peer) -> Callable[[float], None]:
        def hear(now: float) -> None:
            if peer.is_closed:
                return
            peer.flush()
            if not peer.is_closed and peer.events & select.POLLIN:
                line = peer.line()
                if line is not None:
                    self._take(peer, line, now)
            elif not peer.is_closed:
                peer.see()
            peer.update()

        return hear

    def _take(self, peer: Peer, line: bytes, now: float) -> None:
        try:
            request = protocol.decode_request(line)
        except BadMessageError as error:
            peer.refuse(f"bad request: {error}")
        else:
            self._handle(peer, request, now)

    def close(self) -> None:
        """Close all connections, and remove the socket."""
        for peer in self._peers:
            if not peer.is_closed:
                peer.close()
        if self._socket is not None:
            self._poller.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
            # The directory may belong to another user meanwhile.
            with suppress(OSError):
                self.path.unlink()
