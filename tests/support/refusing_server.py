"""Servers that are no Redis, such as one that refuses everything while it loads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import BinaryIO

# What a client says of itself is answered, so that connections are opened.
_GREETINGS = {b"CLIENT": b"+OK\r\n", b"HELLO": b"-ERR unknown command 'HELLO'\r\n"}


def _command(stream: BinaryIO) -> bytes:
    """Return the name of the next command; b"" at the end."""
    head = stream.readline()
    if not head.startswith(b"*"):
        return b""
    words = []
    for _ in range(int(head[1:])):
        size = int(stream.readline()[1:])
        words.append(stream.read(size + 2)[:-2])
    return words[0].upper()


def _serve(connection: socket.socket, reply: bytes) -> None:
    with connection, connection.makefile("rb") as stream, suppress(OSError):
        while name := _command(stream):
            connection.sendall(_GREETINGS.get(name, reply))


def refusing(error: str) -> AbstractContextManager[str]:
    """A server that answers every command with an error; yields its URL."""
    reply = f"-{error}\r\n".encode()
    return serving(lambda connection: _serve(connection, reply))


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server with a thread of `serve` for each connection; yields its URL."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)
