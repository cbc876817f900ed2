"""Connections to Redis: from a URL, with timeouts, and with the errors of this package.

No exception of the redis package leaves the store. A command is sent again only if a
server has refused it as not being the primary, or if no connection could be opened: a
command whose reply was lost may have been executed, and only the caller knows whether
repeating it is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis

from resqued.errors import StoreError
from resqued.store import redirects
from resqued.store.redis_client import TIMEOUT, make_locator, open_client
from resqued.store.redis_errors import FAULTS, refuses_hello, translate
from resqued.store.redis_internals import (
    INCOMPLETE,
    are_plain,
    exchange,
    exchange_each,
    fileno_of,
    on_invalidation,
    open_raw,
    own_connection,
    place_of,
    read_push,
    subscribe,
)
from resqued.store.store_errors import ForbiddenError

# The most bytes that are read at a time.
_CHUNK = 8192

# About how many members of a set are read at a time.
_PAGE = 5_000

# A part of a command.
Word = str | bytes | int | float


def encoded(word: Word) -> Word:
    """Return a word as it is sent; a name that is not UTF-8 keeps its bytes."""
    if isinstance(word, str) and not word.isascii():
        return word.encode("utf-8", "surrogateescape")
    return word


class Link:
    """A client with its URL, which every part of the store uses.

    May be used by several threads, and after a fork: each takes its own connection from
    the pool. `namespace` is that of all keys, which a cluster has in one slot; "" if no
    key is used. A command that was not executed is repeated for `timeout` seconds,
    if another server can become the primary.
    """

    def __init__(
        self, url: str, *, timeout: float = TIMEOUT, namespace: str = ""
    ) -> None:
        self.url = url
        self.namespace = namespace
        self.timeout = timeout
        # How long a command is repeated that was not executed.
        self.patience = timeout
        self.locator = make_locator(url, namespace, timeout=timeout)
        self._open(protocol=3)

    def _open(self, *, protocol: int) -> None:
        self._protocol = protocol
        self._redis: Any = open_client(
            self.url, self.locator, timeout=self.timeout, protocol=protocol
        )

    def error(self, fault: Exception, command: Sequence[Word] = ()) -> StoreError:
        """Return the StoreError for an error of redis-py or of a socket."""
        return translate(fault, self.url, self.namespace, command)

    def call(self, *command: Word) -> Any:
        """Send one command and return its reply."""
        try:
            return self._send(*command)
        except FAULTS as error:
            if self._must_step_down(error):
                return self.call(*command)
            (reply,) = redirects.follow(self, [command], [error])
        if isinstance(reply, Exception):
            raise self.error(reply, command) from reply
        return reply

    def pipeline(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands in one write, as Ruby does, and return their replies.

        Raises StoreError for the first error reply.
        """
        if not commands:
            return []
        for command, reply in zip(
            commands, replies := self._replies(commands), strict=True
        ):
            if isinstance(reply, Exception):
                raise self.error(reply, command) from reply
        return replies

    def read_each(
        self, commands: Sequence[tuple[Word, ...]], *, allows_refusals: bool = False
    ) -> list[Any]:
        """Send commands that read one key each, in one write; return their replies.

        The reply is None for a key of another type, which another program may have set,
        and with `allows_refusals` also for one that access rules hide.
        """
        if not commands:
            return []
        replies = self._replies(commands)
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                error = self.error(reply, commands[number])
                is_hidden = allows_refusals and isinstance(error, ForbiddenError)
                if not is_hidden and not str(reply).startswith("WRONGTYPE"):
                    raise error from reply
                replies[number] = None
        return replies

    def _replies(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        replies = self.attempt(commands)
        if any(isinstance(reply, Exception) for reply in replies):
            return redirects.follow(self, commands, replies)
        return replies

    def attempt(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands once, and return all replies, with errors as exceptions."""
        try:
            return self._send_all(commands)
        except FAULTS as error:
            if self._must_step_down(error):
                return self.attempt(commands)
            return [error] * len(commands)

    def _must_step_down(self, error: Exception) -> bool:
        """Switch to RESP2, and return True, if the server does not know HELLO.

        No command has been executed then, because HELLO is sent before any command.
        """
        if self._protocol == 2 or not refuses_hello(error):
            return False
        self._open(protocol=2)
        return True

    def _send(self, *command: Word) -> Any:
        return self._redis.execute_command(*map(encoded, command))

    def _send_all(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        words = [tuple(map(encoded, command)) for command in commands]
        if are_plain(self._redis, {str(command[0]) for command in words}):
            return exchange_each(self._redis, words)
        pipe = self._redis.pipeline(transaction=False)
        for command in words:
            pipe.execute_command(*command)
        replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies

    def members(self, key: str) -> set[bytes]:
        """Return the members of a set; reads pages, so as not to block the server."""
        found: set[bytes] = set()
        cursor: int | bytes = 0
        while True:
            cursor, page = self.call("SSCAN", key, cursor, "COUNT", _PAGE)
            found.update(page)
            if int(cursor) == 0:
                return found

    def ping(self) -> None:
        """Raise StoreError unless the server answers."""
        self.call("PING")

    def time(self) -> float:
        """Return the server's clock, in whole seconds, as Ruby reads it (2.3)."""
        return float(_seconds(self.call("TIME")))

    def packed(self, command: tuple[Word, ...]) -> bytes:
        """Return a command in its wire format."""
        connection = own_connection(self._redis)
        return b"".join(connection.pack_command(*map(encoded, command)))

    def leave(self) -> bool:
        """Close the connections that no thread uses; return whether to continue.

        The next command opens one where the primary is.
        """
        self._redis.connection_pool.disconnect(inuse_connections=False)
        return True

    def close(self) -> None:
        """Close the connections; the next command opens new ones."""
        self._redis.close()
        self._redis.connection_pool.disconnect()


def _seconds(reply: Any) -> Any:
    # redis-py returns a pair of numbers, a bare connection a list of texts.
    return reply[0]


class SingleLink(Link):
    """A link of one connection and one thread, for the daemon's processes.

    The process owns the connection, can wait on it, and can use tracking on it. A
    forked child must close only its descriptor: the parent keeps using the connection,
    so a child must send nothing on it, not even the end of TLS.
    """

    def _open(self, *, protocol: int) -> None:
        super()._open(protocol=protocol)
        # The loop of the process repeats commands, and sees to other things meanwhile.
        self.patience = 0.0
        self._is_listening = False
        self._connection: Any = own_connection(self._redis)
        # Its scripts can be repeated if a reply is lost, so no PING is needed before
        # them.
        self._connection.health_check_interval = 0
        # The socket and a separate reader, when the connection is open.
        self._socket: Any = None
        self._reader: Any = None

    def _send(self, *command: Word) -> Any:
        try:
            self._connection.send_command(*command)
        except UnicodeEncodeError:
            # Nothing was sent, because packing comes first. This is rare.
            self._connection.send_command(*map(encoded, command))
        return self._connection.read_response()

    def call_packed(self, command: bytes) -> Any:
        """Send one command in its wire format and return its reply.

        The connection is not checked with PING before. Raises StoreError.
        """
        try:
            # hot path: raw-exchange
            if self._socket is None:
                self._socket, self._reader = open_raw(self._connection)
            self._socket.sendall(command)
            reply = self._reader.gets()
            while reply is INCOMPLETE:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise redis.ConnectionError("Connection closed by server.")
                self._reader.feed(data)
                reply = self._reader.gets()
        except FAULTS as error:
            # A part of a command or of a reply may have been transferred.
            self.close()
            if self._must_step_down(error):
                return self.call_packed(command)
            self.locator.suspect()
            raise self.error(error) from error
        if isinstance(reply, Exception):
            return redirects.follow_packed(self, command, reply)
        return reply

    def attempt_packed(self, command: bytes) -> Any:
        """Send a packed command once; return its reply, or the error."""
        try:
            return exchange(self._connection, command)
        except FAULTS as error:
            return error

    def _send_all(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands, and return all replies, with error replies as exceptions."""
        self._connection.connect()
        words = [tuple(map(encoded, command)) for command in commands]
        self._connection.send_packed_command(self._connection.pack_commands(words))
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return error

    def listen(self, heard: Callable[[Any], Any]) -> bool:
        """Turn tracking on and call `heard` with each message; return False if refused.

        CLIENT TRACKING needs RESP3; a proxy or an ACL may refuse it.
        """
        self.ping()
        if self._protocol == 2:
            return False
        self._is_listening = True
        on_invalidation(self._connection, heard)
        try:
            self.call("CLIENT", "TRACKING", "ON")
        except StoreError:
            self.ping()
            return False
        return True

    def subscribe(self, channel: str, heard: Callable[[Any], Any]) -> bool:
        """Call `heard` with each message of a channel; return False if refused."""
        try:
            return subscribe(self._connection, channel, heard)
        except FAULTS as error:
            raise translate(error, self.url) from error

    def drain(self) -> None:
        """Read the messages that have arrived; raise StoreError at end of file."""
        try:
            while self._connection.can_read(timeout=0):
                read_push(self._connection)
        except FAULTS as error:
            self.locator.suspect()
            raise self.error(error) from error

    @property
    def place(self) -> str:
        """The address of the server, or "" if the connection is not open."""
        return place_of(self._connection)

    def check_place(self) -> None:
        """Close the connection if the primary is another server now."""
        host, _, port = self.place.rpartition(":")
        if host and self.locator.is_elsewhere((host, int(port))):
            self.locator.suspect()
            self.close()

    def use(self, url: str) -> None:
        """Close the connection; the next command opens one for another URL."""
        self.close()
        self.url = url
        self.locator = make_locator(url, self.namespace, timeout=self.timeout)
        self._open(protocol=3)

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, or None without a connection."""
        if self._socket is None:
            return fileno_of(self._connection)
        fd: int = self._socket.fileno()
        return None if fd < 0 else fd

    def leave(self) -> bool:
        """Close the connection; return False if its owner must open it, to listen."""
        must_listen = self._is_listening
        self.close()
        return not must_listen

    def close(self) -> None:
        """Close the connection; the next command opens a new one."""
        self._is_listening = False
        self._socket = self._reader = None
        self._connection.disconnect()
