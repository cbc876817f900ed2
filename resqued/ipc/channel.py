"""A socket pair between the master and a worker, or the master and a zygote.

Messages keep their boundaries (SOCK_SEQPACKET), and can carry file descriptors. End of
file means that the process at the other end has exited. The text is JSON from Python's
own encoder, which accepts names that are not UTF-8.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

SentT = TypeVar("SentT")
ReceivedT = TypeVar("ReceivedT")

# A message with more bytes goes into a file in memory, whose descriptor is sent as the
# last one: the settings of a zygote, and lists of queues or schedules, have no limit.
_LONGEST = 64 * 1024
# Stands for such a message. It is no JSON.
_IN_FILE = b"@"
# Larger than any message on the socket.
_RECEIVE_BUFFER = 256 * 1024
_MAX_DESCRIPTORS = 4


class ChannelClosed(EOFError):  # noqa: N818 - end of file is no error
    """The other side has exited, or has sent bytes that are not a message."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new channel; they are non-blocking and closed by exec.

    Raises OSError if the process has no descriptors left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def inherited_socket(fd: int) -> socket.socket:
    """Return the socket of a descriptor that another program has left open.

    The socket is non-blocking, whatever socket.setdefaulttimeout is in this process.
    """
    os.set_inheritable(fd, False)
    found = socket.socket(fileno=fd)
    found.setblocking(False)
    return found


def _file_of(data: bytes) -> BinaryIO:
    """Return a file in memory (memfd_create(2)) with this content, at its start."""
    file = os.fdopen(os.memfd_create("resqued-message"), "w+b", buffering=0)
    file.write(data)
    file.seek(0)
    return file


class Channel(Generic[SentT, ReceivedT]):
    """One end of the pair: sends messages of one union, receives those of another."""

    def __init__(self, sock: socket.socket, *, receives: Any) -> None:
        self._socket = sock
        self._receives = receives
        # Called with the descriptor just before it is closed.
        self.before_close: Callable[[int], None] = lambda _: None

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 when the channel is closed."""
        return self._socket.fileno()

    def send(self, message: SentT, *, descriptors: Sequence[int] = ()) -> None:
        """Send one message; raise ChannelClosed if the other side does not read it.

        The socket of a reader that has stopped reading fills up. That counts as closed,
        because the sender must not wait.
        """
        data = json.dumps(msgspec.to_builtins(message)).encode()
        try:
            if len(data) <= _LONGEST:
                socket.send_fds(self._socket, [data], list(descriptors))
                return
            # The buffer of the socket has room for some 200 KB.
            with _file_of(data) as file:
                sent = [*descriptors, file.fileno()]
                socket.send_fds(self._socket, [_IN_FILE], sent)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> tuple[ReceivedT, list[int]] | None:
        """Return the next message and its descriptors, or None if none waits.

        Raises ChannelClosed at end of file, and for bytes that are not a message.
        """
        try:
            data, fds, _, _ = socket.recv_fds(
                self._socket, _RECEIVE_BUFFER, _MAX_DESCRIPTORS
            )
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # The other side has exited and left messages unread. The kernel reports
            # that once, before the messages that had arrived, which can be read now.
            return self.receive()
        except ConnectionError as error:
            raise ChannelClosed(str(error)) from error
        if not data:
            raise ChannelClosed("end of file")
        if data == _IN_FILE and fds:
            with os.fdopen(fds.pop(), "rb") as file:
                data = file.read()
        try:
            message: ReceivedT = msgspec.convert(json.loads(data), self._receives)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            for fd in fds:
                os.close(fd)
            # The other side is another version, so later messages are useless too.
            raise ChannelClosed(f"not a message of this version: {error}") from error
        return message, fds

    def messages(self) -> list[ReceivedT]:
        """Return the messages that wait; raise ChannelClosed at end of file.

        Messages that arrived before the end of file come first; the next call raises.
        """
        found: list[ReceivedT] = []
        try:
            while (received := self.receive()) is not None:
                found.append(received[0])
        except ChannelClosed:
            if not found:
                raise
        return found

    def close(self) -> None:
        """Close this end, in this process only."""
        if self._socket.fileno() >= 0:
            self.before_close(self._socket.fileno())
        self._socket.close()
