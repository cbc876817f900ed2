"""Connections to Redis: from a URL, with time-outs, with our own errors.

No exception of the redis package leaves the store. Nothing is retried here: a
command whose reply was lost may have been carried out, and only the caller knows
whether asking again is safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from resqued.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from redis import Redis

DEFAULT_URL = "redis://localhost:6379/0"
SCHEMES = ("redis", "rediss", "unix")

# Longer than any command of ours takes on a healthy server, short enough that a
# person at a terminal waits for the answer.
TIMEOUT = 5.0

# After so long without use a connection is tried with PING before it carries a
# command, so that a half-open one costs no job.
HEALTH_CHECK = 30


def connect(url: str, *, timeout: float = TIMEOUT, single: bool = False) -> Redis:
    """Return a client for url; nothing is sent yet.

    A `single` client keeps one connection and is for one thread only. Raises
    ConfigError if url is none that we understand.
    """
    check_url(url)
    try:
        client: Redis = redis.Redis.from_url(
            url,
            protocol=3,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            health_check_interval=HEALTH_CHECK,
            # A feature of one vendor's cloud; asking for it costs a round trip.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            retry=Retry(NoBackoff(), 0),
            # Queue names are bytes to Redis; those that are not UTF-8 pass through.
            encoding_errors="surrogateescape",
            **({"single_connection_client": True} if single else {}),
        )
    except (ValueError, TypeError, redis.RedisError) as error:
        raise ConfigError(f"redis url {redact(url)!r}: {error}") from None
    return client


def check_url(url: str) -> None:
    """Raise ConfigError, naming the way out, for a url of an unknown kind."""
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ConfigError(
            f"redis url {redact(url)!r} must begin with redis://, rediss:// or unix://"
        )


def redact(url: str) -> str:
    """Return url without its password, for messages."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = parts.username or ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn every error of the redis package into a StoreError naming the server."""
    try:
        yield
    except redis.AuthenticationError as error:
        raise StoreError(f"redis at {redact(url)} refused the login: {error}") from error
    except redis.RedisError as error:
        raise StoreError(f"redis at {redact(url)}: {_reason(error)}") from error
    except OSError as error:
        raise StoreError(f"redis at {redact(url)}: {error}") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


class Link:
    """A client with its URL: what every part of the store works through."""

    def __init__(
        self, url: str, *, timeout: float = TIMEOUT, single: bool = False
    ) -> None:
        self.url = url
        self.redis: Any = connect(url, timeout=timeout, single=single)

    def call(self, *command: str | bytes | float) -> Any:
        """Send one command and return its reply."""
        with translated(self.url):
            return self.redis.execute_command(*command)

    def pipeline(self, commands: list[tuple[str | bytes | float, ...]]) -> list[Any]:
        """Send commands in one write, as Ruby does, and return their replies."""
        if not commands:
            return []
        with translated(self.url):
            pipe = self.redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = pipe.execute()
            return replies

    def ping(self) -> None:
        """Raise StoreError unless the server answers."""
        self.call("PING")

    def time(self) -> float:
        """Return the server's clock, in whole seconds, as Ruby reads it (2.3)."""
        with translated(self.url):
            seconds, _ = self.redis.time()
            return float(seconds)

    def abandon(self) -> None:
        """Give a single connection up in a forked child.

        Only this process's descriptor is closed: the parent goes on using the
        connection, so nothing may be said on it, not even a TLS goodbye.
        """
        sock = getattr(self.redis.connection, "_sock", None)
        if sock is not None:
            sock.close()

    def close(self) -> None:
        """Close the connections; the next command opens new ones."""
        self.redis.close()
        self.redis.connection_pool.disconnect()
