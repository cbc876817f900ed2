"""The parts of redis-py that its documentation does not promise, each in one place.

Used by store/connection.py alone. tests/integration/test_redis_internals.py holds
each function against the installed redis-py; no other module may touch an attribute
of a redis object whose name begins with an underscore.

A connection is what `own_connection` returns. It is used by one thread, and its owner
closes it. Every function lets the exceptions of redis-py and of the socket pass.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis import connection
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from resqued.store.redis_errors import ElsewhereError, mark_unsent

# Its module of connections, with the names that it has imported.
_redis_py: Any = connection

# The result of a reader until it has received a complete reply.
INCOMPLETE = object()
# How many bytes are read at a time where many replies come.
_MUCH = 64 << 10


# How many nodes of a cluster may name yet another one, while it changes.
_HOPS = 3


class _Located:
    """Has a connection open its socket where its `locator` says.

    Errors are marked as such after which nothing was sent.
    """

    _sock: Any
    host: str
    port: int
    handshake_metadata: Any
    _was_opened: bool

    def __init__(self, *, locator: Any, **options: Any) -> None:
        self.locator = locator
        super().__init__(**options)

    def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        if self._sock is not None:
            return
        try:
            for _ in range(_HOPS):
                self._greet(*args, **kwargs)
                if self._arrives():
                    return
            raise RedisConnectionError("each node of the cluster names another one")
        except RedisError as error:
            mark_unsent(error)
            raise

    def _greet(self, *args: Any, **kwargs: Any) -> None:
        """Open the connection; open it once more if the server closes it at once.

        A proxy does so whose server is being replaced. No command was sent before.
        """
        for is_last in (False, True):
            self._was_opened, self.handshake_metadata = False, None
            try:
                super().connect_check_health(*args, **kwargs)  # type: ignore[misc]
                return
            except RedisConnectionError as error:
                # Its subclasses are replies, such as that of a wrong password.
                is_closed = self._was_opened and type(error) is RedisConnectionError
                if is_last or not is_closed:
                    raise

    def _arrives(self) -> bool:
        """Return False if another node is the right one; the connection is closed."""
        try:
            self.locator.arrive(self, self.handshake_metadata or {})
        except ElsewhereError:
            self.disconnect()  # type: ignore[attr-defined]
            return False
        except BaseException:
            self.disconnect()  # type: ignore[attr-defined]
            raise
        return True

    def _connect(self) -> Any:
        """Open a socket, to the next server that is known if one refuses."""
        for left in range(self.locator.choices - 1, -1, -1):
            self.host, self.port = self.locator.locate()
            # In the daemon's processes it is a copy from before the import of the
            # application, which may have replaced sockets, by those of a proxy.
            _redis_py.socket = socket
            try:
                opened = super()._connect()  # type: ignore[misc]
                self._was_opened = True
                return opened
            except OSError as error:
                self.locator.suspect()
                if not left or isinstance(error, TimeoutError):
                    raise
            finally:
                # What other connections of the application use.
                _redis_py.socket = sys.modules["socket"]
        raise AssertionError("a locator has at least one choice")


class LocatedConnection(_Located, Connection):
    """A connection to where its locator says."""


class LocatedSSLConnection(_Located, SSLConnection):
    """The same with TLS."""


def own_connection(client: Any) -> Any:
    """Return a connection with the client's options, outside its pool, not yet open.

    Raises ValueError or TypeError for an option that no connection has.
    """
    return client.connection_pool.make_connection()


def fileno_of(connection: Any) -> int | None:
    """Return the descriptor of the socket, or None if the connection is not open."""
    sock = connection._sock
    return None if sock is None else int(sock.fileno())


def place_of(connection: Any) -> str:
    """Return host:port of an open TCP connection; "" for another one."""
    # A connection to a Unix socket has no port; with some versions it has a host.
    if connection._sock is None or not hasattr(connection, "port"):
        return ""
    return f"{connection.host}:{connection.port}"


def open_raw(connection: Any) -> tuple[Any, Any]:
    """Open the connection if it is not open; return its socket and a reader.

    The reader is one of hiredis, outside the connection's parser: `feed` takes bytes
    from the socket, `gets` returns the next reply, or INCOMPLETE. An error reply of the
    server is an exception that `gets` returns and does not raise. Both hold until the
    connection is closed.
    """
    # hot path: raw-exchange
    if connection._sock is None:
        connection.connect()
    reader = hiredis.Reader(
        protocolError=InvalidResponse,
        replyError=connection._parser.parse_error,
        notEnoughData=INCOMPLETE,
    )
    return connection._sock, reader


def exchange(connection: Any, command: bytes, *, replies: int = 1) -> Any:
    """Send packed commands, and return the last reply; an error is returned too."""
    sock, reader = open_raw(connection)
    sock.sendall(command)
    while True:
        reply = reader.gets()
        while reply is INCOMPLETE:
            data = sock.recv(8192)
            if not data:
                raise RedisConnectionError("Connection closed by server.")
            reader.feed(data)
            reply = reader.gets()
        replies -= 1
        if not replies:
            return reply


def are_plain(client: Any, names: set[str]) -> bool:
    """Return True if redis-py leaves the replies to these commands as they come."""
    return not any(name in client.response_callbacks for name in names)


def exchange_each(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands on a connection of the client's pool; return all replies.

    The same as a pipeline for replies that redis-py leaves as they come, for a part of
    its processor time. Error replies are returned too.
    """
    packed = b"".join(map(hiredis.pack_command, commands))
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.check_health()
        sock, reader = open_raw(connection)
        sock.sendall(packed)
        replies: list[Any] = []
        while len(replies) < len(commands):
            if (reply := reader.gets()) is INCOMPLETE:
                if not (data := sock.recv(_MUCH)):
                    raise RedisConnectionError("Connection closed by server.")
                reader.feed(data)
            else:
                replies.append(reply)
    except BaseException:
        # Replies may be left in it, which are those of no later command.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return replies


def on_invalidation(connection: Any, call: Callable[[Any], Any]) -> None:
    """Call `call` with each invalidation message that is read (RESP3 only).

    The message is a list: b"invalidate", and a list of keys, or None for all keys.
    This remains in effect when the connection is opened again.
    """
    connection._parser.set_invalidation_push_handler(call)


def subscribe(connection: Any, channel: str, call: Callable[[Any], Any]) -> bool:
    """Subscribe to a channel (RESP3 only); return False if the server refuses that.

    `call` is called with each message of a subscription that is read, a list: its kind,
    the channel, and for b"message" the data. The confirmation is such a message and no
    reply, so a PING follows, whose reply is read.
    """
    connection._parser.set_pubsub_push_handler(call)
    commands = [("SUBSCRIBE", channel), ("PING",)]
    connection.send_packed_command(connection.pack_commands(commands))
    try:
        connection.read_response()
    except ResponseError:
        connection.read_response()
        return False
    return True


def read_push(connection: Any) -> None:
    """Read one push message, which goes to the handler of `on_invalidation`."""
    connection.read_response(push_request=True)
