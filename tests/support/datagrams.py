"""Unix sockets for datagrams that nobody reads: filled, and emptied."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path


def fill(path: str | Path) -> None:
    """Send datagrams until the socket at a path takes no more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.sendto(b"full", str(path))


def drain(listener: socket.socket) -> list[bytes]:
    """Return the datagrams that wait; the socket never blocks from now on."""
    listener.setblocking(False)
    found = []
    while True:
        try:
            found.append(listener.recv(65536))
        except BlockingIOError:
            return found
