"""Connections to Redis: from a URL, with timeouts, and with the errors of this package.

No exception of the redis package leaves the store. Commands are not retried here: a
command whose reply was lost may have been executed, and only the caller knows whether
repeating it is safe.
"""

from __future__ import annotations

# socket.getaddrinfo loads it at the first host name. hot path: preloaded-idna
import encodings.idna  # noqa: F401
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from resqued.errors import ConfigError, StoreError, UnusableServerError
from resqued.store.redis_internals import (
    INCOMPLETE,
    fileno_of,
    on_invalidation,
    open_raw,
    own_connection,
    read_push,
    subscribe,
)
from resqued.store.server_url import check_url, redact
from resqued.store.store_errors import DisconnectedError, RefusedError

if TYPE_CHECKING:
    from redis import Redis

# The most bytes that are read at a time.
_CHUNK = 8192

# About how many members of a set are read at a time.
_PAGE = 5_000

# A part of a command.
Word = str | bytes | int | float

_HOST_HERE = {"localhost", "127.0.0.1"}

# The timeout in seconds: longer than any command takes on a healthy server, and short
# enough for a person at a terminal.
TIMEOUT = 5.0

# After this many seconds without use a connection is checked with PING before a
# command, so that no job is lost on a half-open connection.
HEALTH_CHECK = 30


def connect(url: str, *, timeout: float = TIMEOUT, protocol: int = 3) -> Redis:
    """Return a client for a URL; nothing is sent yet.

    `timeout` is in seconds. Raises ConfigError if the URL is not supported.
    """
    scheme = check_url(url)
    keepalive = {} if scheme == "unix" else {"socket_keepalive": True}
    try:
        client: Redis = redis.Redis.from_url(
            url,
            protocol=protocol,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=HEALTH_CHECK,
            # A feature of one cloud vendor, which costs a round trip.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            retry=Retry(NoBackoff(), 0),
            **keepalive,
        )
        # Raises for options in the URL that no connection has.
        own_connection(client)
    except (ValueError, TypeError, redis.RedisError) as error:
        raise ConfigError(f"redis url {redact(url)!r}: {_reason(error)}") from None
    return client


class ScriptUnknownError(StoreError):
    """The server does not know the script of this digest."""


def translate(error: Exception, url: str) -> StoreError:
    """Return the StoreError for an error of the redis package or of a socket."""
    place = f"redis at {redact(url)}"
    if isinstance(error, redis.exceptions.NoScriptError):
        return ScriptUnknownError(str(error))
    if isinstance(error, redis.AuthenticationError):
        return StoreError(f"{place} refused the login: {_reason(error)}")
    reason = _reason(error)
    if (unusable := _never_usable(error, reason)) is not None:
        return UnusableServerError(f"{place}: {unusable}")
    message = f"{place}: {reason}{_hint(error, url)}"
    if isinstance(error, redis.ConnectionError | ConnectionError):
        return DisconnectedError(message)
    if isinstance(error, redis.ResponseError):
        return RefusedError(message)
    return StoreError(message)


def _never_usable(error: Exception, reason: str) -> str | None:
    """Return why a server can never be used; None if it can, at least later."""
    if isinstance(error, redis.InvalidResponse):
        return (
            "no Redis answers there, but another program: check the address and the"
            " port; a server with TLS needs rediss://"
        )
    if isinstance(error, _CLUSTER):
        return (
            f"{reason}: this is a node of a cluster; resqued needs a server without"
            " cluster mode"
        )
    if reason.lower().startswith(("unknown command", "err unknown command")):
        return (
            f"{reason[:_SHOWN]}: check the port: a Sentinel or a proxy has not all the"
            " commands that resqued needs"
        )
    return None


# The most characters that are shown of a reply that repeats the command.
_SHOWN = 60

# Errors of a server in cluster mode about the place of a key.
_CLUSTER = (redis.exceptions.AskError, redis.exceptions.ClusterCrossSlotError)

# The first words of error replies, which redis-py removes.
_WORDS = {
    redis.exceptions.AskError: "ASK",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.ClusterCrossSlotError: "CROSSSLOT",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.TryAgainError: "TRYAGAIN",
}


def _hint(error: Exception, url: str) -> str:
    """Return a hint for common mistakes in the URL of a server, or ""."""
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text:
        return ": what listens there speaks no TLS; without it the url is redis://"
    if "Connection refused" in text or "No such file or directory" in text:
        is_here = not _HOST_HERE.isdisjoint(re.split(r"[/:@\[\]]", url))
        way_out = "; `resqued redis start` starts one" if is_here else ""
        return f": no server listens there{way_out}"
    return ""


# The exceptions of a connection.
FAULTS = (redis.RedisError, OSError)


def encoded(word: Word) -> Word:
    """Return a word as it is sent; a name that is not UTF-8 keeps its bytes."""
    if isinstance(word, str) and not word.isascii():
        return word.encode("utf-8", "surrogateescape")
    return word


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    word = _WORDS.get(type(error), "")
    if word and not text.startswith(word):
        text = f"{word} {text}".rstrip()
    return text or type(error).__name__


class Link:
    """A client with its URL, which every part of the store uses.

    May be used by several threads, and after a fork: each takes its own connection from
    the pool.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._timeout = timeout
        self._open(protocol=3)

    def _open(self, *, protocol: int) -> None:
        self._protocol = protocol
        self._redis: Any = connect(self.url, timeout=self._timeout, protocol=protocol)

    def call(self, *command: Word) -> Any:
        """Send one command and return its reply."""
        try:
            return self._send(*command)
        except FAULTS as error:
            if self._must_step_down(error):
                return self.call(*command)
            raise translate(error, self.url) from error

    def pipeline(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands in one write, as Ruby does, and return their replies.

        Raises StoreError for the first error reply.
        """
        if not commands:
            return []
        for reply in (replies := self._replies(commands)):
            if isinstance(reply, redis.ResponseError):
                raise translate(reply, self.url) from reply
        return replies

    def read_each(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands that read one key each, in one write; return their replies.

        The reply is None for a key of another type, which another program may have set.
        """
        if not commands:
            return []
        replies = self._replies(commands)
        for number, reply in enumerate(replies):
            if isinstance(reply, redis.ResponseError):
                if not str(reply).startswith("WRONGTYPE"):
                    raise translate(reply, self.url) from reply
                replies[number] = None
        return replies

    def _replies(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        try:
            return self._send_all(commands)
        except FAULTS as error:
            if self._must_step_down(error):
                return self._replies(commands)
            raise translate(error, self.url) from error

    def _must_step_down(self, error: Exception) -> bool:
        """Switch to RESP2, and return True, if the server does not know HELLO.

        No command has been executed then, because HELLO is sent before any command.
        """
        is_hello = isinstance(error, redis.ResponseError) and (
            "HELLO" in str(error).upper() or "NOPROTO" in str(error)
        )
        if not is_hello or self._protocol == 2:
            return False
        self._open(protocol=2)
        return True

    def _send(self, *command: Word) -> Any:
        return self._redis.execute_command(*map(encoded, command))

    def _send_all(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*map(encoded, command))
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
            raise translate(error, self.url) from error
        if isinstance(reply, Exception):
            if not isinstance(reply, redis.ResponseError):
                self.close()  # the server cannot serve now: BUSY, LOADING
            raise translate(reply, self.url) from reply
        return reply

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
            raise translate(error, self.url) from error

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, or None without a connection."""
        if self._socket is None:
            return fileno_of(self._connection)
        fd: int = self._socket.fileno()
        return None if fd < 0 else fd

    def close(self) -> None:
        """Close the connection; the next command opens a new one."""
        self._socket = self._reader = None
        self._connection.disconnect()
