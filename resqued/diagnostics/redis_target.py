"""The namespace and Redis that a command means, to compare with those of a master.

Reads the configuration; connects to nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.errors import ConfigError
from resqued.store.server_url import redact

_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A namespace of one Redis; `url` is for messages and has no password.

    `is_named` is False if url and namespace are both defaults, which neither an option,
    the environment nor a file has set.
    """

    url: str
    namespace: str
    is_named: bool = True

    def __str__(self) -> str:
        return f"{self.url}, namespace {self.namespace}"

    def is_among(self, url: str, namespaces: Collection[str]) -> bool:
        """Return True if `url` is that of this target, and its namespace is there.

        An empty `url`, from a master of an older version, matches every server.
        """
        is_there = not url or _place(url) == _place(self.url)
        return is_there and self.namespace in namespaces


def redis_target(
    config_file: str | None, url: str | None, namespace: str | None
) -> RedisTarget | None:
    """Return the target of options, environment and file; None if they are unreadable.

    Raises ConfigError if `url` or `namespace`, of the options, is wrong.
    """
    given = {"redis": {"url": url, "namespace": namespace}}
    try:
        tables = read_layers(config_file, given).for_command()
        app = loader.build(tables).app
    except ConfigError:
        if url or namespace:
            raise
        return None
    named = tables.get("redis") or {}
    is_named = "url" in named or "namespace" in named
    return RedisTarget(redact(app.url), app.namespace, is_named)


def _place(url: str) -> tuple[str, int, str]:
    """Return host or socket, port and database of a URL, in a comparable form."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        return url, 0, ""
    database = parse_qs(parts.query).get("db", [""])[0]
    if parts.scheme == "unix":
        return parts.path, 0, database or "0"
    host = (parts.hostname or "localhost").lower()
    place = "localhost" if host in _HERE else host
    return place, port, database or parts.path.strip("/") or "0"
