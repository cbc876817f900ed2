"""The pipes between a worker and a child: a job goes down, an outcome comes up.

Lengths stand in front. The worker's ends never block; the child's do, for waiting
is what a child that was forked ahead does. Bare descriptors, not sockets: a worker
makes a pair for each job, and every object that it touches after a fork is copied.
"""

from __future__ import annotations

import json
import os
import struct

from resqued.core.outcome import Told
from resqued.core.payload import Fault

_JOB = struct.Struct("!II")
_OUTCOME = struct.Struct("!I")
# As much as a short job is, and its outcome: one read takes it.
_CHUNK = 4096


class WorkerEnd:
    """What the worker holds of one child."""

    def __init__(self, down: int, up: int) -> None:
        os.set_blocking(down, False)
        os.set_blocking(up, False)
        self.down = down
        self.up = up
        self._out = b""
        self._in = b""
        self.is_closed = False

    @property
    def wants_write(self) -> bool:
        """Say whether part of the job is still to be sent."""
        return bool(self._out)

    def give(self, queue: bytes, payload: bytes) -> None:
        """Hand the job over; what does not fit at once goes with pump."""
        self._out = _JOB.pack(len(queue), len(payload)) + queue + payload
        self.pump()

    def pump(self) -> None:
        """Send what is left, as far as the child has read."""
        try:
            while self._out:
                self._out = self._out[os.write(self.down, self._out) :]
        except BlockingIOError:
            return
        except OSError:
            # The child is dead; its exit status will tell how.
            self._out = b""

    def receive(self) -> Told | None:
        """Return the outcome if all of it has arrived."""
        try:
            while (told := _decode(self._in)) is None:
                chunk = os.read(self.up, _CHUNK)
                if not chunk:
                    self.is_closed = True
                    return None
                self._in += chunk
        except BlockingIOError:
            return None
        return told

    def close(self) -> None:
        """Give the child up: one that waits for a job leaves."""
        os.close(self.down)
        os.close(self.up)


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

    def __init__(self, down: int, up: int) -> None:
        self._down = down
        self._up = up

    def wait_for_job(self) -> tuple[bytes, bytes] | None:
        """Block until there is a job: queue and payload; None if none will come."""
        data = b""
        length = _JOB.size
        while len(data) < length:
            chunk = os.read(self._down, max(_CHUNK, length - len(data)))
            if not chunk:
                return None
            data += chunk
            if len(data) >= _JOB.size:
                queue, payload = _JOB.unpack_from(data)
                length = _JOB.size + queue + payload
        start = _JOB.size + queue
        return data[_JOB.size : start], data[start:]

    def tell(self, fault: Fault | None) -> None:
        """Say how the job went."""
        message = _OUTCOME.pack(0)
        if fault is not None:
            body = json.dumps([fault.exception, fault.error, fault.backtrace]).encode()
            message = _OUTCOME.pack(len(body)) + body
        while message:
            message = message[os.write(self._up, message) :]
