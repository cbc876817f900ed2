"""The pipes between a worker and a child: a job goes down, an outcome comes up.

Lengths stand in front, an outcome's with flags in its highest bits. The worker's
ends never block; the child's do, for waiting is what a child that was forked ahead
does. The ends are bare descriptors of pipes, not socket objects.

hot path: bare-pipes
"""

from __future__ import annotations

import json
import os
import struct

from resqued.wire.outcome import SUCCEEDED, ChildReport
from resqued.wire.payload import DIRTY_EXIT, FailureInfo

_JOB = struct.Struct("!II")
_OUTCOME = struct.Struct("!I")
_JOB_SIZE, _OUTCOME_SIZE = _JOB.size, _OUTCOME.size
# The job has left processes behind; the child stays for another job.
_LEFT, _STAYS = 1 << 31, 1 << 30
# A job that went well, left nothing, and is its child's last. hot path: made-once
_FINE = _OUTCOME.pack(0)
# One read takes a short job, or its outcome.
_CHUNK = 4096
# What a pipe holds: a long outcome comes in such pieces.
_PIECE = 1 << 16
# No outcome is longer: the child cuts what it tells.
_LONGEST = 1 << 25
# A job may write to any descriptor of its process.
_RUBBISH = FailureInfo(DIRTY_EXIT, "the job wrote into the pipe that tells how it went")


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
        """Return True if part of the job is still to be sent."""
        return bool(self._out)

    def give(self, queue: bytes, payload: bytes) -> bool:
        """Hand the job over; return whether all of it fitted: the rest is for pump."""
        self._out = _JOB.pack(len(queue), len(payload)) + queue + payload
        self.pump()
        return not self._out

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

    def receive(self) -> ChildReport | None:
        """Return the outcome if all of it has arrived; it is told once."""
        try:
            while (told := _decode(self._in)) is None:
                chunk = os.read(self.up, _PIECE if self._in else _CHUNK)
                if not chunk:
                    self.is_closed = True
                    return None
                self._in += chunk
        except BlockingIOError:
            return None
        self._in = b""
        return told

    def close(self) -> None:
        """Give the child up: one that waits for a job leaves."""
        os.close(self.down)
        os.close(self.up)


def _encode(fault: FailureInfo | None, *, has_left: bool, stays: bool) -> bytes:
    head = _LEFT * has_left | _STAYS * stays
    if fault is None:
        return _OUTCOME.pack(head)
    body = json.dumps([fault.exception, fault.error, fault.backtrace]).encode()
    return _OUTCOME.pack(head | len(body)) + body


def _decode(data: bytes) -> ChildReport | None:
    if len(data) < _OUTCOME_SIZE:
        return None
    (head,) = _OUTCOME.unpack_from(data)
    if head == 0:
        return SUCCEEDED
    length, left, stays = head & ~(_LEFT | _STAYS), bool(head & _LEFT), head & _STAYS
    if _OUTCOME_SIZE + length > len(data) and length <= _LONGEST:
        return None
    if length == 0:
        return ChildReport(None, left, bool(stays))
    fault = _read_fault(data[_OUTCOME_SIZE : _OUTCOME_SIZE + length])
    return (
        ChildReport(_RUBBISH)
        if fault is None
        else ChildReport(fault, left, bool(stays))
    )


def _read_fault(body: bytes) -> FailureInfo | None:
    """Return the fault that a child told; None if this is none."""
    try:
        exception, error, backtrace = json.loads(body)
        texts = [exception, error, *backtrace]
    except (ValueError, TypeError, RecursionError):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    return FailureInfo(exception, error, tuple(backtrace))


class ChildEnd:
    """What the child holds."""

    def __init__(self, down: int, up: int) -> None:
        self._down = down
        self._up = up

    def wait_for_job(self) -> tuple[bytes, bytes] | None:
        """Block until there is a job: queue and payload; None if none will come."""
        data = b""
        length = _JOB_SIZE
        while len(data) < length:
            chunk = os.read(self._down, max(_CHUNK, length - len(data)))
            if not chunk:
                return None
            data += chunk
            if len(data) >= _JOB_SIZE:
                queue, payload = _JOB.unpack_from(data)
                length = _JOB_SIZE + queue + payload
        start = _JOB_SIZE + queue
        return data[_JOB_SIZE:start], data[start:]

    def tell(
        self, fault: FailureInfo | None, *, has_left: bool = False, stays: bool = False
    ) -> None:
        """Say how the job went, what it has left, and whether another may come."""
        message = _FINE
        if fault is not None or has_left or stays:
            message = _encode(fault, has_left=has_left, stays=stays)
        while message:
            message = message[os.write(self._up, message) :]
