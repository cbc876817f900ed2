"""The namespace and Redis that a command means, to find the masters that serve it.

One Redis has several URLs: those of its nodes and sentinels, of a socket, of aliases of
a host. Where the text does not tell that two are the same, the Redis is asked whether a
worker of the master is registered there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.config.settings import AppSettings
from resqued.diagnostics.pool_view import PoolView
from resqued.errors import ConfigError, StoreError
from resqued.store.connection import SingleLink
from resqued.store.server_url import SENTINEL_PORT, Address, read_url, redact
from resqued.wire.keys import Keys

_HERE = ("localhost", "127.0.0.1", "::1")

# The most seconds to wait for a Redis that is asked for the workers of a master.
PATIENCE = 1.0

# How many workers of a master are looked for: one is enough, and any may be new.
_ASKED = 16


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A namespace of one Redis; `url` is for messages and has no password.

    `is_named` is False if url and namespace are both defaults, which neither an option,
    the environment nor a file has set. `settings` are those to connect with.
    """

    url: str
    namespace: str
    is_named: bool = True
    settings: AppSettings | None = field(default=None, compare=False, repr=False)
    # What Redis has said of masters, by pid and URL: `top` asks again each second.
    _said: dict[tuple[int, str], bool] = field(
        default_factory=dict, compare=False, repr=False
    )

    def __str__(self) -> str:
        return f"{self.url}, namespace {self.namespace}"

    def is_among(self, url: str, namespaces: Collection[str]) -> bool:
        """Return True if the text of `url` names this Redis, with its namespace.

        An empty `url`, from a master of an older version, matches every server.
        """
        is_there = not url or _place(url).may_be(_place(self.url))
        return is_there and self.namespace in namespaces

    def serving(self, pools: Iterable[PoolView]) -> list[PoolView]:
        """Return the masters that serve this target, and those that do not answer.

        Redis is asked, for at most PATIENCE seconds, about masters of this namespace
        whose URL is another text. None of them is found while it does not answer.
        """
        every = list(pools)
        found = {
            pool.pid
            for pool in every
            if pool.error or self.is_among(pool.redis, pool.namespaces)
        }
        others = [p for p in every if self.namespace in p.namespaces]
        found |= self._found_by_workers([p for p in others if p.pid not in found])
        return [pool for pool in every if pool.pid in found]

    def _found_by_workers(self, pools: Sequence[PoolView]) -> set[int]:
        """Return the pids of masters with workers that are registered in this Redis."""
        unknown = [p for p in pools if (p.pid, p.redis) not in self._said]
        if unknown and self.is_named and self.settings is not None:
            self._ask(unknown, self.settings)
        return {p.pid for p in pools if self._said.get((p.pid, p.redis))}

    def _ask(self, pools: Sequence[PoolView], settings: AppSettings) -> None:
        keys = Keys(self.namespace)
        patience = min(settings.redis_timeout, PATIENCE)
        link = SingleLink(settings.url, timeout=patience, namespace=self.namespace)
        with closing(link):
            if _is_replica(link):
                return  # a copy, through which no master could serve
            for pool in pools:
                ids = [w.id for w in pool.workers if w.phase != "starting"][:_ASKED]
                asked = [("SISMEMBER", keys.workers, worker_id) for worker_id in ids]
                try:
                    replies = link.pipeline(asked)
                except StoreError:
                    return
                if replies:
                    self._said[pool.pid, pool.redis] = any(replies)


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
    return RedisTarget(redact(app.url), app.namespace, is_named, app)


class _Place(NamedTuple):
    """What the text of a URL tells of a Redis: some servers, and a database there.

    `service` is the name that sentinels have for the primary; the servers are these
    sentinels then.
    """

    servers: frozenset[Address]
    service: str
    database: str

    def may_be(self, other: _Place) -> bool:
        """Return True if a server is in both, which is then the same Redis."""
        is_same = self[1:] == other[1:]
        return is_same and not self.servers.isdisjoint(other.servers)


def _place(url: str) -> _Place:
    """Return what a URL names, in a comparable form."""
    try:
        read = read_url(url)
    except ConfigError:
        return _Place(frozenset([(url, 0)]), "", "")
    plain = urlsplit(read.plain)
    database = parse_qs(plain.query).get("db", [""])[0]
    if plain.scheme == "unix":
        return _Place(frozenset([(plain.path, 0)]), "", database or "0")
    sentinels = (urlsplit(each) for each in read.sentinels)
    servers = read.nodes or [
        (each.hostname or "localhost", each.port or SENTINEL_PORT) for each in sentinels
    ]
    named = frozenset((_one_name(host), port) for host, port in servers)
    return _Place(named, read.service, database or plain.path.strip("/") or "0")


def _is_replica(link: SingleLink) -> bool:
    """Return True if the server says so; a user may not be allowed to ask."""
    try:
        return bool(link.call("ROLE")[0] == b"slave")
    except StoreError:
        return False


def _one_name(host: str) -> str:
    return "localhost" if host.lower() in _HERE else host.lower()
