"""The pipes between a worker and a child: one for jobs, one for outcomes.

Each message begins with its lengths; that of an outcome has flags in its highest bits.
An outcome begins with bytes that the worker has chosen, so that other bytes, which a
job writes by accident, are not taken for an outcome. The worker's ends never block. The
child's ends do, because a child that was forked ahead waits. The ends are bare
descriptors of pipes, not socket objects.

hot path: bare-pipes
"""

from __future__ import annotations

import json
import os
import struct

from resqued.wire.outcome import SUCCEEDED, ChildReport
from resqued.wire.payload import DIRTY_EXIT, FailureInfo

# Of the queue, of the payload, and of what is known of earlier attempts.
_JOB = struct.Struct("!III")
# The number of bytes that show that the child wrote an outcome.
SECRET_SIZE = 8
_OUTCOME = struct.Struct(f"!{SECRET_SIZE}sI")
_JOB_SIZE, _OUTCOME_SIZE = _JOB.size, _OUTCOME.size
# The job has left processes behind; the child stays for another job.
_LEFT, _STAYS = 1 << 31, 1 << 30
# The bytes of one read; enough for a short job or its outcome.
_CHUNK = 4096
# The capacity of a pipe in bytes: a long outcome arrives in such pieces.
_PIECE = 1 << 16
# The most bytes of an outcome; the child shortens its texts.
_LONGEST = 1 << 25
# The length and flags of the usual outcome: the job succeeded, left no processes, and
# was the last of its child.
_NOTHING = bytes(4)
# A job may write to any descriptor of its process.
_SPOILT = ChildReport(
    FailureInfo(DIRTY_EXIT, "the job wrote into the pipe that tells how it went")
)


class PipeSecret:
    """Random bytes that show that a child of this worker has written an outcome."""

    def __init__(self) -> None:
        self.prefix = os.urandom(SECRET_SIZE)
        # The outcome of nearly all jobs. hot path: made-once
        self.fine = self.prefix + _NOTHING


class WorkerEnd:
    """The worker's ends of the pipes of one child."""

    def __init__(self, down: int, up: int, *, secret: PipeSecret) -> None:
        os.set_blocking(down, False)
        os.set_blocking(up, False)
        self.down = down
        self.up = up
        self._secret = secret
        self._out: bytes | memoryview = b""
        self._in: bytes | bytearray = b""
        self.is_closed = False

    @property
    def wants_write(self) -> bool:
        """Whether a part of the job has not been sent yet."""
        return bool(self._out)

    def give(self, queue: bytes, payload: bytes, attempts: bytes = b"") -> bool:
        """Send a job; return True if all of it fitted. `pump` sends the rest.

        `attempts` is what the worker knows of its attempts, for jobs with a retry.
        """
        head = _JOB.pack(len(queue), len(payload), len(attempts))
        self._out = head + queue + attempts + payload
        self.pump()
        return not self._out

    def pump(self) -> None:
        """Send as much of the rest of the job as the pipe has room for."""
        try:
            while self._out:
                count = os.write(self.down, self._out)
                if count == len(self._out):
                    self._out = b""
                else:
                    # A slice of a view is not copied.
                    self._out = memoryview(self._out)[count:]
        except BlockingIOError:
            return
        except OSError:
            # The child is dead; its exit status shows why.
            self._out = b""

    def receive(self, *, may_stay: bool) -> ChildReport | None:
        """Return the outcome once, when all of it has arrived; until then None.

        `may_stay` is False if this was the last job of the child; an outcome that has
        the flag for a child that stays is then invalid.
        """
        try:
            while (told := self._decode()) is None:
                chunk = os.read(self.up, _PIECE if self._in else _CHUNK)
                if not chunk:
                    self.is_closed = True
                    return None
                self._in = _extended(self._in, chunk)
        except BlockingIOError:
            return None
        self._in = b""
        return _SPOILT if told.stays and not may_stay else told

    def _decode(self) -> ChildReport | None:
        data = self._in
        if data == self._secret.fine:
            return SUCCEEDED
        if len(data) < _OUTCOME_SIZE:
            return None
        prefix, head = _OUTCOME.unpack_from(data)
        length = head & ~(_LEFT | _STAYS)
        if prefix != self._secret.prefix or length > _LONGEST:
            return _SPOILT
        left, stays = bool(head & _LEFT), bool(head & _STAYS)
        if _OUTCOME_SIZE + length > len(data):
            return None
        if length == 0:
            return ChildReport(None, left, stays)
        told = _read_fault(bytes(data[_OUTCOME_SIZE : _OUTCOME_SIZE + length]))
        return _SPOILT if told is None else ChildReport(told[0], left, stays, told[1])

    def close(self) -> None:
        """Close the pipes; a child that waits for a job then exits."""
        os.close(self.down)
        os.close(self.up)


def _extended(begun: bytes | bytearray, chunk: bytes) -> bytes | bytearray:
    """Return `begun` followed by `chunk`, without copying `begun` at each call."""
    if not begun:
        return chunk
    if isinstance(begun, bytes):
        begun = bytearray(begun)
    begun += chunk
    return begun


def _encode(
    secret: bytes,
    fault: FailureInfo | None,
    *,
    has_left: bool,
    stays: bool,
    retry: float | None,
) -> bytes:
    head = _LEFT * has_left | _STAYS * stays
    if fault is None:
        return _OUTCOME.pack(secret, head)
    told = [fault.exception, fault.error, fault.backtrace, retry]
    body = json.dumps(told).encode()
    return _OUTCOME.pack(secret, head | len(body)) + body


def _read_fault(body: bytes) -> tuple[FailureInfo, float | None] | None:
    """Return failure and delay of the retry in an outcome; None if it is invalid."""
    try:
        exception, error, backtrace, retry = json.loads(body)
        texts = [exception, error, *backtrace]
    except (ValueError, TypeError, RecursionError):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(retry, float | None):
        return None
    return FailureInfo(exception, error, tuple(backtrace)), retry


class ChildEnd:
    """The child's ends of the pipes.

    `read_end` is the worker's descriptor for reading outcomes. A job may close the
    descriptors of this process; their numbers may then be those of its own files.
    """

    def __init__(
        self, down: int, up: int, *, secret: PipeSecret, read_end: int
    ) -> None:
        self._down = down
        self._up = up
        self._secret = secret
        self._read_end = read_end
        # The identity of the pipe `up` before the job.
        found = os.fstat(up)
        self._device, self._inode = found.st_dev, found.st_ino
        self._down_inode = 0

    def wait_for_job(
        self, *, is_last: bool = True
    ) -> tuple[bytes, bytes, bytes] | None:
        """Wait for a job; return its queue, payload and attempts; None if none comes.

        With `is_last` the child runs no other job after it. Raises OSError.
        """
        if not is_last and not self._down_inode:
            self._down_inode = os.fstat(self._down).st_ino
        data = b""
        while len(data) < _JOB_SIZE:
            chunk = os.read(self._down, _CHUNK)
            if not chunk:
                return None
            data += chunk
        queue, payload, attempts = _JOB.unpack_from(data)
        middle = _JOB_SIZE + queue
        start = middle + attempts
        length = start + payload
        if len(data) < length:
            whole = self._read_rest(data, length)
            if whole is None:
                return None
            data = whole
        return data[_JOB_SIZE:middle], data[start:], data[middle:start]

    def _read_rest(self, begun: bytes, length: int) -> bytes | None:
        """Return the whole message, of `length` bytes; None if the rest will not come.

        `begun` is the part that was read before.
        """
        data = bytearray(length)
        done = len(begun)
        data[:done] = begun
        with memoryview(data) as view:
            while done < length:
                count = os.readv(self._down, [view[done:]])
                if not count:
                    return None
                done += count
        return bytes(data)

    def is_whole(self) -> bool:
        """Return True if a child of several jobs still has both of its pipes."""
        try:
            inodes = [os.fstat(fd).st_ino for fd in (self._up, self._down)]
        except OSError:
            return False
        return inodes == [self._inode, self._down_inode]

    def tell(
        self,
        fault: FailureInfo | None,
        *,
        has_left: bool = False,
        stays: bool = False,
        retry: float | None = None,
    ) -> None:
        """Send the outcome of the job to the worker.

        `has_left`: the job has left processes behind; `stays`: the child waits for
        another job; `retry`: it is tried again after so many seconds. Raises OSError
        if that is not possible.
        """
        message = self._secret.fine
        if fault is not None or has_left or stays:
            prefix = self._secret.prefix
            message = _encode(
                prefix, fault, has_left=has_left, stays=stays, retry=retry
            )
        fd = self._opened()
        while message:
            message = message[os.write(fd, message) :]

    def _opened(self) -> int:
        """Return the descriptor for outcomes; if the job has closed it, a new one."""
        try:
            found = os.fstat(self._up)
            if found.st_ino == self._inode and found.st_dev == self._device:
                return self._up
        except OSError:
            pass  # closed: its number is free
        path = f"/proc/{os.getppid()}/fd/{self._read_end}"
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if os.fstat(fd).st_ino != self._inode:
            os.close(fd)
            raise OSError(f"{path} is another file")
        os.set_blocking(fd, True)
        return fd
