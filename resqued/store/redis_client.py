"""Clients of redis-py for a URL, which open their connections where the primary is."""

from __future__ import annotations

# socket.getaddrinfo loads it at the first host name. hot path: preloaded-idna
import encodings.idna  # noqa: F401
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from resqued.errors import ConfigError
from resqued.store.locator import KnownNodes, Locator, OneNode, Sentinels
from resqued.store.redis_errors import reason_of
from resqued.store.redis_internals import (
    LocatedConnection,
    LocatedSSLConnection,
    own_connection,
)
from resqued.store.server_url import Address, read_url, redact

if TYPE_CHECKING:
    from redis import Redis

# The timeout in seconds: longer than any command takes on a healthy server, and short
# enough for a person at a terminal.
TIMEOUT = 5.0

# How long to wait for a sentinel, in seconds: another one can be asked.
SENTINEL_TIMEOUT = 0.5

# After this many seconds without use a connection is checked with PING before a
# command, so that no job is lost on a half-open connection.
HEALTH_CHECK = 30


def connect(url: str, *, timeout: float = TIMEOUT, protocol: int = 3) -> Redis:
    """Return a client for a URL; nothing is sent yet.

    `timeout` is in seconds. Raises ConfigError if the URL is not supported.
    """
    locator = make_locator(url, "", timeout=timeout)
    return open_client(url, locator, timeout=timeout, protocol=protocol)


def make_locator(url: str, namespace: str, *, timeout: float) -> Locator:
    """Return what finds the primary for a URL and a namespace.

    `timeout` is in seconds. Raises ConfigError if the URL is not supported.
    """
    read = read_url(url)
    if read.sentinels:
        patience = min(timeout, SENTINEL_TIMEOUT)
        return Sentinels(url, read, partial(_dial, timeout=patience))
    return KnownNodes(url, read.nodes, namespace, is_cluster=read.is_cluster)


def _dial(url: str, *, timeout: float) -> Any:
    """Return a connection to a sentinel."""
    locator = make_locator(url, "", timeout=timeout)
    return own_connection(open_client(url, locator, timeout=timeout, protocol=2))


def open_client(
    url: str, locator: Locator | OneNode, *, timeout: float, protocol: int
) -> Redis:
    """Return a client whose connections are opened where the locator says."""
    read = read_url(url)
    placed: dict[str, Any] = {}
    if read.scheme != "unix":
        is_tls = read.scheme.startswith("rediss")
        kind = LocatedSSLConnection if is_tls else LocatedConnection
        placed = {
            "connection_class": kind,
            "locator": locator,
            "socket_keepalive": True,
        }
    try:
        client: Redis = redis.Redis.from_url(
            read.plain,
            protocol=protocol,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=HEALTH_CHECK,
            # A feature of one cloud vendor, which costs a round trip.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            retry=Retry(NoBackoff(), 0),
            **placed,
        )
        # Raises for options in the URL that no connection has.
        own_connection(client)
    except (ValueError, TypeError, redis.RedisError) as error:
        raise ConfigError(f"redis url {redact(url)!r}: {reason_of(error)}") from None
    return client


def node_connection(url: str, address: Address, *, timeout: float) -> Any:
    """Return a connection to one node of a cluster, not open yet."""
    client = open_client(url, OneNode(address), timeout=timeout, protocol=2)
    return own_connection(client)
