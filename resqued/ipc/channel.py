"""A socket pair between master and worker, or master and zygote.

Small JSON messages with their boundaries kept (SOCK_SEQPACKET), descriptors
beside them where needed. End of file means that the other side is gone.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

# Larger than any message: configuration to the zygote is the largest.
_ROOM = 256 * 1024
_MAX_DESCRIPTORS = 4


class ChannelClosed(Exception):  # noqa: N818 - end of file is no error
    """The other side is gone."""


class Channel:
    """One end of the pair."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return both ends; neither blocks, and neither survives an exec."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        return cls(ours), cls(theirs)

    @classmethod
    def inherited(cls, fd: int) -> Channel:
        """Return the end that a descriptor of this process is."""
        os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def send(self, kind: str, *values: Any, descriptors: Sequence[int] = ()) -> None:
        """Send one message; raise ChannelClosed if nobody is there to read it.

        A reader that has stopped reading fills the socket; it counts as gone,
        for the sender must not wait.
        """
        data = json.dumps([kind, *values]).encode()
        try:
            socket.send_fds(self._socket, [data], list(descriptors))
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> tuple[list[Any], list[int]] | None:
        """Return the next message and its descriptors, or None if none waits.

        Raises ChannelClosed at end of file.
        """
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, _ROOM, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # Told once, and before what had arrived: the other side is gone, and left
            # unread what we had said. What it said itself is still to be heard.
            return self.receive()
        except ConnectionError as error:
            raise ChannelClosed from error
        if not data:
            raise ChannelClosed
        return json.loads(data), fds

    def messages(self) -> list[list[Any]]:
        """Return the messages that wait; raise ChannelClosed at end of file.

        What arrived before the end of file comes first; it is told next time.
        """
        found: list[list[Any]] = []
        try:
            while (message := self.receive()) is not None:
                found.append(message[0])
        except ChannelClosed:
            if not found:
                raise
        return found

    def close(self) -> None:
        """Close this end, in this process only."""
        self._socket.close()
