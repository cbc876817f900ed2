"""Faults of a Redis that is made of several servers: failovers, and a slot that moves.

A server that fails over may have confirmed writes that no replica has; the account
counts these apart. The new primary says up to which offset it has the history of the
old one, and each enqueued job is noted with its offset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import redis as redis_py

from bench.chaos.site import Site
from resqued.wire import payload
from tests.support.cluster import Cluster
from tests.support.node import Node
from tests.support.sentinels import Sentinels

BRACED = "{resque}"
# How long a slot moves from node to node, in seconds.
MOVING = 1.5


class ManyServers(Site):
    """A site whose primary may change; `redis` is a client of the present one."""

    topology: Sentinels | Cluster

    @property
    def redis(self) -> redis_py.Redis:
        return self.primary.client

    @property
    def primary(self) -> Node:
        """The server that has the jobs."""
        raise NotImplementedError

    def _open_server(self) -> None:
        self._stack.enter_context(self.topology)
        self.url = self.topology.url
        self._unsure: set[int] = set()
        self._windows: list[tuple[float, float]] = []
        # The history and the offset that each job was enqueued at, and how much of a
        # history the next primary has.
        self._places: dict[int, tuple[str, int]] = {}
        self._kept_until: dict[str, int] = {}

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        def answered() -> Any:
            try:
                return condition()
            except (redis_py.RedisError, AssertionError):
                return None

        return super().wait(answered, what)

    def feed(self) -> None:
        try:
            super().feed()
        except (redis_py.RedisError, AssertionError):
            return  # there is no primary now

    def enqueue(self, jobs: Iterable[tuple[Any, ...]]) -> None:
        """Enqueue jobs, and note where in the history of their server they are."""
        given = list(jobs)
        numbers = [number for _, number, *_ in given]
        self._unsure.update(numbers)
        pipe = self.redis.pipeline(transaction=False)
        pipe.sadd(self.key("queues"), "default")
        pipe.rpush(self.queue, *[payload.encode_job(n, args) for n, *args in given])
        pipe.info("replication")
        _, _, facts = pipe.execute()
        self._unsure.difference_update(numbers)
        place = (facts["master_replid"], facts["master_repl_offset"])
        self._places.update(dict.fromkeys(numbers, place))

    def fail_over(
        self, begin: Callable[[], Node], wait: Callable[[Node], None]
    ) -> Node:
        """Have a replica promoted; return the old primary when the pool works again.

        `begin` returns the old primary, and `wait` waits until there is a new one.
        """
        self.feed()
        job, _ = self.pick()
        old = begin()
        wait(old)
        since = time.monotonic()
        facts = self.redis.info("replication")
        self._kept_until[facts["master_replid2"]] = facts["second_repl_offset"] - 1
        self.recover([job.number], since=since)
        return old

    def sever(self, begin: float, end: float) -> None:
        """Have the jobs counted apart that were in hand between two moments.

        Then a server confirmed reservations and records that are lost with it.
        """
        self._windows.append((begin, end))

    def _severed(self) -> frozenset[int]:
        begins = times_of(self.witness.lrange("begins", 0, -1), min)
        ends = times_of(self.witness.lrange("ends", 0, -1), max)
        return frozenset(
            number
            for number, began in begins.items()
            for begin, end in self._windows
            if began <= end and ends.get(number, end) >= begin
        )

    def losses(self) -> dict[str, frozenset[int]]:
        lost = {
            number
            for number, (history, offset) in self._places.items()
            if offset > self._kept_until.get(history, offset)
        }
        return {
            "unsure": frozenset(self._unsure),
            "unreplicated": frozenset(lost),
            "severed": self._severed(),
        }


def times_of(
    rows: Iterable[str], choose: Callable[[float, float], float]
) -> dict[int, float]:
    """Return the first or the last time of each job, from the witness's rows."""
    found: dict[int, float] = {}
    for row in rows:
        number, _, at = row.partition(" ")
        found[int(number)] = choose(found.get(int(number), float(at)), float(at))
    return found


class SentinelSite(ManyServers):
    """Three sentinels, a primary and two replicas."""

    topology: Sentinels
    # A primary with fewer replicas takes no writes.
    min_replicas = 0

    def _open_server(self) -> None:
        self.topology = Sentinels(
            self.folder / "sentinels", self.binary, min_replicas=self.min_replicas
        )
        super()._open_server()

    @property
    def primary(self) -> Node:
        return self.topology.primary


class ClusterSite(ManyServers):
    """Three primaries with a replica each, and a namespace in one slot."""

    topology: Cluster

    def _open_server(self) -> None:
        self.namespace = BRACED
        self.topology = Cluster(self.folder / "cluster", self.binary)
        super()._open_server()

    @property
    def primary(self) -> Node:
        return self.topology.primary_of(self.namespace)


def kill_primary_of_sentinels(site: SentinelSite) -> None:
    old = site.fail_over(site.topology.kill_primary, site.topology.wait_for_promotion)
    site.topology.restart(old)
    site.wait(lambda: site.topology.has_replicas(1), "a replica that may be promoted")


def kill_primary_of_cluster(site: ClusterSite) -> None:
    cluster, key = site.topology, site.namespace
    old = site.fail_over(
        lambda: cluster.kill_primary(key),
        lambda old: cluster.wait_for_promotion(key, old),
    )
    cluster.restart(old)
    site.wait(cluster.is_well, "the killed node to be a replica")


def move_slot(site: ClusterSite) -> None:
    site.feed()
    with site.topology.migrating(site.namespace) as owners:
        until = time.monotonic() + MOVING
        site.wait(lambda: time.monotonic() > until and owners, "the slot to move")
        job, _ = site.pick()
    site.recover([job.number], since=time.monotonic())
