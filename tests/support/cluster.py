"""A cluster of three primaries with a replica each: a real one.

A failover takes two to four seconds, and longer beside other tests. As in a cluster as
it is delivered, all slots must be served: while one is not, all nodes refuse commands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

import redis as redis_py
from redis.crc import key_slot

from tests.support.node import HOST, Node
from tests.support.tls import free_port
from tests.support.wait import scaled, wait_until

PRIMARIES = 3
SLOTS = 16384
# Less, and a busy machine has failovers that no test has asked for.
NODE_TIMEOUT_MS = int(scaled(2500))
# Redis gives up a transfer of keys after this many milliseconds.
MIGRATE_TIMEOUT_MS = 5000
# In seconds; a slot that moves without a pause serves hardly anybody.
BETWEEN_MOVES = 0.3


class Cluster:
    """Enter it to start it; `url` is what a client needs."""

    def __init__(
        self,
        folder: Path,
        binary: Path | None = None,
        *,
        password: str = "",
        replicas: int = 1,
    ) -> None:
        self.password = password
        self._stack = ExitStack()
        secrets = {"masterauth": password} if password else {}
        options = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            **secrets,
        }
        self.nodes = [
            Node(folder / f"node-{n}", binary, options, password)
            for n in range(PRIMARIES * (1 + replicas))
        ]
        self._ids: dict[int, str] = {}

    def __enter__(self) -> Self:
        with self._stack:
            for node in self.nodes:
                self._stack.callback(node.end)
                # Free ports are too high for the port 10,000 above.
                node.start(**{"cluster-port": str(free_port())})
            self._introduce()
            self._distribute()
            self.wait_until_ready()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What a client needs

    @property
    def url(self) -> str:
        """The URL of some node, from which a client finds the others."""
        return self.nodes[0].url

    @contextmanager
    def client(self) -> Iterator[redis_py.RedisCluster]:
        """Give a client of the whole cluster."""
        node = next(node for node in self.nodes if node.is_running())
        with redis_py.RedisCluster(
            host=HOST, port=node.port, password=self.password or None, protocol=2
        ) as client:
            yield client

    # What a test asks

    def slot_of(self, key: str) -> int:
        """Return the slot of a key."""
        return int(key_slot(key.encode()))

    def primary_of(self, key: str) -> Node:
        """Return the node that serves a key, as most nodes know it."""
        slot = self.slot_of(key)
        owners = [owner for node in self.nodes if (owner := _owner(node, slot))]
        assert owners, f"no node serves slot {slot}"
        return self._node(max(set(owners), key=owners.count))

    def replicas_of(self, primary: Node) -> list[Node]:
        """Return the replicas of a primary that run."""
        return [
            node
            for node in self.nodes
            if node.is_running()
            and (role := node.client.role())[0] == b"slave"
            and role[2] == primary.port
        ]

    # What a test does to it

    def kill_primary(self, key: str) -> Node:
        """Kill the node that serves a key; return it."""
        primary = self.primary_of(key)
        primary.kill()
        return primary

    def fail_over(self, key: str, *how: str) -> Node:
        """Have the replica take over that has a key; return the primary of before.

        Without FORCE or TAKEOVER nothing is lost: both nodes agree on the moment.
        """
        primary = self.primary_of(key)
        replica = self.replicas_of(primary)[0]
        replica.client.execute_command("CLUSTER", "FAILOVER", *how)
        return primary

    def wait_for_promotion(self, key: str, old: Node, deadline: float = 60.0) -> float:
        """Wait until another node than `old` serves a key; return when (monotonic)."""

        def is_promoted() -> bool:
            with suppress(AssertionError):
                primary = self.primary_of(key)
                return primary is not old and primary.is_primary() and is_well(primary)
            return False

        wait_until(is_promoted, what="a replica to be promoted", deadline=deadline)
        return time.monotonic()

    def restart(self, node: Node) -> None:
        """Start a node that was killed; it becomes a replica of its successor."""
        node.start(**{"cluster-port": str(free_port())})

    def migrate(self, key: str, target: Node | None = None) -> Node:
        """Move the slot of a key to another primary; return that.

        As operators do it: key by key, while clients are redirected by ASK.
        """
        slot, source = self.slot_of(key), self.primary_of(key)
        target = target or next(
            node
            for node in self.nodes
            if node is not source and node.is_running() and node.is_primary()
        )
        source_id, target_id = self._ids[source.port], self._ids[target.port]
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while self._move_keys(slot, source, target):
            pass
        for node in (target, source, *self.nodes):
            with suppress(redis_py.RedisError):  # a replica does not take it
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        return target

    @contextmanager
    def migrating(self, key: str) -> Iterator[list[Node]]:
        """Move the slot of a key again and again; give the list of its owners."""
        owners: list[Node] = []
        is_over = Event()

        def move() -> None:
            while not is_over.wait(BETWEEN_MOVES):
                owners.append(self.migrate(key))

        thread = Thread(target=move)
        thread.start()
        try:
            yield owners
        finally:
            is_over.set()
            thread.join()

    def wait_until_ready(self, deadline: float = 60.0) -> None:
        """Wait until every node runs, knows all others, and each replica is in step."""
        wait_until(self.is_well, what="the cluster to be well", deadline=deadline)

    def is_well(self) -> bool:
        """Say whether all nodes run and know each other, each replica in step."""
        return all(is_well(node, len(self.nodes)) for node in self.nodes)

    def _move_keys(self, slot: int, source: Node, target: Node) -> bool:
        """Move some keys of a slot; say whether there were any."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10)
        assert isinstance(keys, list)
        if keys:
            secret = ["AUTH", self.password] if self.password else []
            source.ask(
                *("MIGRATE", HOST, target.port, "", 0, MIGRATE_TIMEOUT_MS),
                *(*secret, "KEYS", *keys),
            )
        return bool(keys)

    def _node(self, node_id: str) -> Node:
        return next(n for n in self.nodes if self._ids[n.port] == node_id)

    def _introduce(self) -> None:
        first = self.nodes[0]
        for epoch, node in enumerate(self.nodes, start=1):
            told = node.ask("CLUSTER", "MYID")
            assert isinstance(told, bytes)
            self._ids[node.port] = told.decode()
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in self.nodes[1:]:
            bus = node.client.config_get("cluster-port")["cluster-port"]
            first.ask("CLUSTER", "MEET", HOST, node.port, int(bus))
        wait_until(
            lambda: all(_known(node) == len(self.nodes) for node in self.nodes),
            what="the nodes to know each other",
        )

    def _distribute(self) -> None:
        primaries, replicas = self.nodes[:PRIMARIES], self.nodes[PRIMARIES:]
        for n, node in enumerate(primaries):
            first, after = SLOTS * n // PRIMARIES, SLOTS * (n + 1) // PRIMARIES
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for n, node in enumerate(replicas):
            primary = primaries[n % PRIMARIES]
            node.ask("CLUSTER", "REPLICATE", self._ids[primary.port])


def is_well(node: Node, count: int | None = None) -> bool:
    """Say whether a node serves, knows that many nodes, and is in step if a replica."""
    with suppress(redis_py.RedisError):
        facts = node.client.info("replication")
        return (
            node.client.cluster("INFO")["cluster_state"] == "ok"
            and (count is None or _known(node) == count)
            and (facts["role"] == "master" or facts["master_link_status"] == "up")
        )
    return False


def _known(node: Node) -> int:
    """Return how many nodes a node knows that do not fail."""
    rows = _rows(node)
    return sum("fail" not in row[2] and "handshake" not in row[2] for row in rows)


def _owner(node: Node, slot: int) -> str | None:
    """Return the id of the node that serves a slot, as a node knows it."""
    with suppress(redis_py.RedisError):
        for row in _rows(node):
            for part in row[8:]:
                first, _, last = part.partition("-")
                if not part.startswith("[") and int(first) <= slot <= int(
                    last or first
                ):
                    return row[0]
    return None


def _rows(node: Node) -> list[list[str]]:
    told = node.ask("CLUSTER", "NODES")
    assert isinstance(told, bytes)
    return [line.split(" ") for line in told.decode().splitlines()]
