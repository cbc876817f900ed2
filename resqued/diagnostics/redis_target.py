"""A namespace of one Redis: which one a command means, and whether a master serves it.

Reads the configuration; connects to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.errors import ConfigError
from resqued.store.server_url import redact

_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A namespace of one Redis; `url` is shown to people and has no password.

    `is_named` is false if neither an option, the environment nor a file names either.
    """

    url: str
    namespace: str
    is_named: bool = True

    def __str__(self) -> str:
        return f"{self.url}, namespace {self.namespace}"

    def is_same(self, url: str, namespace: str) -> bool:
        """Return True if these name the same place.

        An empty `url` is that of a master of an older version, which does not tell it.
        """
        is_there = not url or _place(url) == _place(self.url)
        return is_there and namespace == self.namespace


def redis_target(
    config_file: str | None, url: str | None, namespace: str | None
) -> RedisTarget | None:
    """Return what options, environment and file name; None if they cannot be read.

    Raises ConfigError if `url` or `namespace`, of the options, is wrong.
    """
    given = {"redis": {"url": url, "namespace": namespace}}
    try:
        tables = read_layers(config_file, given).merged()
        app = loader.build(tables).app
    except ConfigError:
        if url or namespace:
            raise
        return None
    named = tables.get("redis") or {}
    is_named = "url" in named or "namespace" in named
    return RedisTarget(redact(app.url), app.namespace, is_named)


def _place(url: str) -> tuple[str, int, str]:
    """Return host or socket, port and database of a URL, in one form."""
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
