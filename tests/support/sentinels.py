"""A primary, its replicas, and three sentinels that watch them: real ones.

A failover takes three to five seconds, and longer beside other tests.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis as redis_py

from resqued.system.redis_program import bundled_binary
from tests.support.node import HOST, Node
from tests.support.wait import scaled, wait_until

SERVICE = "jobs"
REPLICAS = 2
SENTINELS = 3
QUORUM = 2
# Less, and a busy machine has failovers that no test has asked for.
DOWN_AFTER_MS = int(scaled(2000))
# Sentinels wait twice as long before they try a failover again.
FAILOVER_TIMEOUT_MS = 3000


class Sentinels:
    """Enter it to start it; `url` is what a client needs."""

    def __init__(
        self,
        folder: Path,
        binary: Path | None = None,
        *,
        password: str = "",
        sentinel_password: str = "",
        append_only: bool = False,
        min_replicas: int = 0,
    ) -> None:
        self.password = password
        self.sentinel_password = sentinel_password
        self._stack = ExitStack()
        secrets = {"masterauth": password} if password else {}
        options = {
            "appendonly": "yes" if append_only else "no",
            # With fewer replicas it takes no writes.
            "min-replicas-to-write": str(min_replicas),
            "min-replicas-max-lag": "3",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            **secrets,
        }
        self.nodes = [
            Node(folder / f"server-{n}", binary, options, password)
            for n in range(1 + REPLICAS)
        ]
        self._folder = folder
        self._program = binary or bundled_binary()
        self.sentinels: list[Node] = []

    def __enter__(self) -> Self:
        with self._stack:
            first, *others = self.nodes
            self._start(first)
            for node in others:
                self._start(node, replicaof=f"{HOST} {first.port}")
            wait_until(
                lambda: all(is_linked(node) for node in others),
                what="the replicas to follow the primary",
            )
            self._start_sentinels(first)
            self.wait_until_ready()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What a client needs

    @property
    def url(self) -> str:
        """The URL that names all three sentinels."""
        return self.url_of([sentinel.address for sentinel in self.sentinels])

    def url_of(self, addresses: Sequence[str], service: str = SERVICE) -> str:
        """Return the URL that names sentinels by host and port."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        own = quote(self.sentinel_password, safe="")
        options = f"?sentinel_password={own}" if own else ""
        return f"redis+sentinel://{secret}{','.join(addresses)}/{service}/0{options}"

    @property
    def primary(self) -> Node:
        """The primary as most sentinels know it."""
        ports = [port for port in map(self._port_told, self.sentinels) if port]
        port = max(set(ports), key=ports.count)
        return next(node for node in self.nodes if node.port == port)

    @property
    def replicas(self) -> list[Node]:
        """The servers that run and are not the primary."""
        primary = self.primary
        return [n for n in self.nodes if n is not primary and n.is_running()]

    # What a test does to it

    def kill_primary(self) -> Node:
        """Kill the primary; return it."""
        primary = self.primary
        primary.kill()
        return primary

    def fail_over(self, *, coordinated: bool = False) -> Node:
        """Have the sentinels promote a replica while the primary runs; return that.

        Uncoordinated, as most sentinels do it, the old primary takes writes until it
        is demoted, and those are lost. Coordinated, it takes none meanwhile.
        """
        primary = self.primary
        how = ["COORDINATED"] if coordinated else []

        def is_accepted() -> bool:
            # A sentinel refuses while it believes that a failover continues.
            for sentinel in self.sentinels:
                with suppress(redis_py.RedisError):
                    sentinel.ask("SENTINEL", "FAILOVER", SERVICE, *how)
                    return True
            return False

        wait_until(is_accepted, what="a sentinel to begin a failover", deadline=60)
        return primary

    def hand_over(self) -> Node:
        """Have the primary hand over to a replica by FAILOVER; return the old one.

        The sentinels are not asked, and take up to half a minute to agree.
        """
        primary = self.primary
        primary.client.execute_command("FAILOVER")
        return primary

    def wait_for_promotion(self, old: Node, deadline: float = 60.0) -> float:
        """Wait for another primary than `old`; return when that was (monotonic).

        It is one that takes writes, and that most sentinels name.
        """

        def is_promoted() -> bool:
            told = [self._port_told(sentinel) for sentinel in self.sentinels]
            others = [node for node in self.nodes if node is not old]
            return any(
                told.count(node.port) >= QUORUM and node.is_primary() for node in others
            )

        wait_until(is_promoted, what="a replica to be promoted", deadline=deadline)
        return time.monotonic()

    def restart(self, node: Node, *, as_replica: bool = True) -> None:
        """Start a server that was killed, at once as a replica of the primary.

        Otherwise it takes itself for a primary until the sentinels demote it, which
        takes ten seconds and more.
        """
        primary = self.primary
        node.start(**({"replicaof": f"{HOST} {primary.port}"} if as_replica else {}))
        if as_replica:
            wait_until(lambda: is_linked(node), what="the replica to be in step")

    def wait_until_ready(
        self, replicas: int = REPLICAS, deadline: float = 60.0
    ) -> None:
        """Wait until all agree on one primary with so many replicas, all in step.

        It takes ten seconds after a failover until the old primary is one of them.
        """
        wait_until(
            lambda: self.has_replicas(replicas),
            what="the sentinels to agree",
            deadline=deadline,
        )

    def has_replicas(self, replicas: int) -> bool:
        """Say whether all agree on one primary with so many replicas, all in step."""
        with suppress(redis_py.RedisError):
            primary = self.primary
            return (
                primary.is_primary()
                and all(self._is_settled(s, primary, replicas) for s in self.sentinels)
                and sum(is_linked(node, primary) for node in self.nodes) >= replicas
            )
        return False

    def _is_settled(self, sentinel: Node, primary: Node, replicas: int) -> bool:
        facts = pairs(sentinel.ask("SENTINEL", "MASTER", SERVICE))
        rows = sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        assert isinstance(rows, list)
        return (
            (facts["flags"], facts["port"]) == ("master", str(primary.port))
            and int(facts["num-other-sentinels"]) == SENTINELS - 1
            and sum(pairs(row)["flags"] == "slave" for row in rows) >= replicas
        )

    def failovers(self) -> int:
        """Return how many failovers there have been, as the sentinels count them."""
        rows = [s.ask("SENTINEL", "MASTER", SERVICE) for s in self.sentinels]
        return max(int(pairs(row)["config-epoch"]) for row in rows)

    def _port_told(self, sentinel: Node) -> int:
        with suppress(redis_py.RedisError, OSError):
            told = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            if isinstance(told, list):
                return int(told[1])
        return 0

    def _start(self, node: Node, **options: str) -> None:
        self._stack.callback(node.end)
        node.start(**options)

    def _start_sentinels(self, primary: Node) -> None:
        # A server is a sentinel if its program has that name.
        program = self._folder / f"{self._program.name.partition('-')[0]}-sentinel"
        if shutil.which(self._program) is not None:
            program.symlink_to(self._program.resolve())
        options = {
            "sentinel monitor": f"{SERVICE} {HOST} {primary.port} {QUORUM}",
            "sentinel down-after-milliseconds": f"{SERVICE} {DOWN_AFTER_MS}",
            "sentinel failover-timeout": f"{SERVICE} {FAILOVER_TIMEOUT_MS}",
            "sentinel parallel-syncs": f"{SERVICE} {REPLICAS}",
        }
        if self.password:
            options["sentinel auth-pass"] = f"{SERVICE} {self.password}"
        if self.sentinel_password:
            options["sentinel sentinel-pass"] = self.sentinel_password
        for n in range(SENTINELS):
            folder = self._folder / f"sentinel-{n}"
            sentinel = Node(folder, program, options, self.sentinel_password)
            self.sentinels.append(sentinel)
            self._start(sentinel)


def is_linked(node: Node, primary: Node | None = None) -> bool:
    """Say whether a replica is in step with its primary, or with that one."""
    with suppress(redis_py.RedisError):
        facts = node.client.info("replication")
        is_there = primary is None or facts.get("master_port") == primary.port
        return is_there and facts.get("master_link_status") == "up"
    return False


def pairs(row: object) -> dict[str, str]:
    """Return a reply of names and values, one after the other, as a dictionary."""
    assert isinstance(row, list)
    texts = [each.decode() for each in row]
    return dict(zip(texts[::2], texts[1::2], strict=True))
