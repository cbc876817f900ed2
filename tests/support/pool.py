"""A pool at work, and what Redis says of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import redis as redis_py

from tests.support.daemon import Daemon

NAMESPACE = "resque"
# Every key that may stay when a pool has gone (wire format 1.2), after the namespace.
LASTING = (
    "queues",
    "failed",
    "stat:processed",
    "stat:failed",
    "pruning_dead_workers_in_progress",
    "resqued:jobs",
)
# Those that the jobs of the tests write themselves.
_EXPIRING = re.compile(rb":resqued:(deaths:.*|followed|hist:.*)$", re.DOTALL)
WRITTEN_BY_JOBS = {b"runs", b"started", b"family"}


def pool(
    url: str,
    tmp_path: Path,
    *args: str,
    queues: str = "default",
    workers: int = 1,
    env: dict[str, str] | None = None,
    direct_url: str | None = None,
    config: str = "",
    **options: Any,
) -> Daemon:
    """Return a daemon with the jobs of the tests; enter it to start it.

    The jobs themselves use `direct_url`, where the daemon goes through a proxy;
    `config` is the text of its configuration file.
    """
    file = tmp_path / "resqued.toml"
    file.write_text(config)
    return Daemon(
        *(queues, "-n", str(workers), "-r", url, "-a", "tests.support.jobs", *args),
        *("-c", str(file)),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": direct_url or url, **(env or {})},
        **options,
    )


def count(client: redis_py.Redis, name: str, namespace: str = NAMESPACE) -> int:
    """Return one of the counters."""
    return int(client.get(f"{namespace}:stat:{name}") or 0)


def failures(
    client: redis_py.Redis, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """Return the failure entries, oldest first."""
    return [json.loads(entry) for entry in client.lrange(f"{namespace}:failed", 0, -1)]


def runs(client: redis_py.Redis) -> Counter[str]:
    """Return how often each job ran to its end, by its number."""
    return Counter(n.decode() for n in client.lrange("runs", 0, -1))


def waiting(client: redis_py.Redis, queue: str = "default") -> int:
    """Return how many jobs wait."""
    return int(client.llen(f"resque:queue:{queue}"))


def left_over(client: redis_py.Redis, *namespaces: str) -> set[bytes]:
    """Return the keys that should not be there when the pool has gone.

    `namespaces` are those that the pool has served; without them, the default one.
    """
    lasting = {
        f"{namespace}:{name}".encode()
        for namespace in namespaces or (NAMESPACE,)
        for name in LASTING
    }
    # The record of a master that was killed expires (wire format 1.3).
    records = set(client.keys("*:resqued:master:*") + client.keys("*:resqued:masters"))
    found = set(client.keys("*")) - lasting - WRITTEN_BY_JOBS - records
    # Deaths are remembered for some days, and the history is.
    return {key for key in found if not _EXPIRING.search(key)}
