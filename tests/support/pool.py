"""A pool at work, and what Redis says of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import redis as redis_py

from tests.support.daemon import Daemon

# Every key that may stay when a pool has gone (wire format 1.2), and those that the
# jobs of the tests write themselves.
LASTING = {
    b"resque:queues",
    b"resque:failed",
    b"resque:stat:processed",
    b"resque:stat:failed",
    b"resque:pruning_dead_workers_in_progress",
    b"runs",
    b"started",
    b"family",
}


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


def count(client: redis_py.Redis, name: str) -> int:
    """Return one of the counters."""
    return int(client.get(f"resque:stat:{name}") or 0)


def failures(client: redis_py.Redis) -> list[dict[str, Any]]:
    """Return the failure entries, oldest first."""
    return [json.loads(entry) for entry in client.lrange("resque:failed", 0, -1)]


def runs(client: redis_py.Redis) -> Counter[str]:
    """Return how often each job ran to its end, by its number."""
    return Counter(n.decode() for n in client.lrange("runs", 0, -1))


def waiting(client: redis_py.Redis, queue: str = "default") -> int:
    """Return how many jobs wait."""
    return int(client.llen(f"resque:queue:{queue}"))


def left_over(client: redis_py.Redis) -> set[bytes]:
    """Return the keys that should not be there when the pool has gone.

    Those of the namespace {mail} are returned as those of resque.
    """
    keys = {key.replace(b"{mail}:", b"resque:", 1) for key in client.keys("*")}
    return keys - LASTING
