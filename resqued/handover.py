"""The socket between a worker and a child: a job goes down, an outcome comes up.

A stream with lengths in front. The worker's end never blocks; the child's end
does, for waiting is what a child that was forked ahead does.
"""

from __future__ import annotations

import json
import socket
import struct

from resqued.core.outcome import Told
from resqued.core.payload import Fault

_JOB = struct.Struct("!II")
_OUTCOME = struct.Struct("!I")
_CHUNK = 65536


class WorkerEnd:
    """What the worker holds of one child."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._out = b""
        self._in = b""
        self.is_closed = False

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Say whether part of the job is still to be sent."""
        return bool(self._out)

    def give(self, queue: str, payload: bytes) -> None:
        """Hand the job over; what does not fit at once goes with pump."""
        name = queue.encode("utf-8", "surrogateescape")
        self._out = _JOB.pack(len(name), len(payload)) + name + payload
        self.pump()

    def pump(self) -> None:
        """Send what is left, as far as the child has read."""
        try:
            while self._out:
                sent = self._socket.send(self._out)
                self._out = self._out[sent:]
        except BlockingIOError:
            return
        except OSError:
            # The child is dead; its exit status will tell how.
            self._out = b""

    def receive(self) -> Told | None:
        """Return the outcome if all of it has arrived."""
        try:
            while chunk := self._socket.recv(_CHUNK):
                self._in += chunk
            self.is_closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True
        return _decode(self._in)

    def close(self) -> None:
        """Give the child up: one that waits for a job leaves."""
        self._socket.close()


def _decode(data: bytes) -> Told | None:
    if len(data) < _OUTCOME.size:
        return None
    (length,) = _OUTCOME.unpack_from(data)
    if length == 0:
        return Told()
    body = data[_OUTCOME.size :]
    if len(body) < length:
        return None
    exception, error, backtrace = json.loads(body[:length])
    return Told(Fault(exception, error, tuple(backtrace)))


class ChildEnd:
    """What the child holds."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def wait_for_job(self) -> tuple[str, bytes] | None:
        """Block until there is a job: queue and payload; None if none will come."""
        header = self._read(_JOB.size)
        if header is None:
            return None
        name, payload = _JOB.unpack(header)
        body = self._read(name + payload)
        if body is None:
            return None
        return body[:name].decode("utf-8", "surrogateescape"), body[name:]

    def _read(self, length: int) -> bytes | None:
        data = b""
        while len(data) < length:
            chunk = self._socket.recv(min(length - len(data), 1 << 20))
            if not chunk:
                return None
            data += chunk
        return data

    def tell(self, fault: Fault | None) -> None:
        """Say how the job went."""
        if fault is None:
            self._socket.sendall(_OUTCOME.pack(0))
            return
        body = json.dumps([fault.exception, fault.error, fault.backtrace]).encode()
        self._socket.sendall(_OUTCOME.pack(len(body)) + body)
