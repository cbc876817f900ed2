"""What tells the pools of a master apart: queue list and namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class PoolKey(NamedTuple):
    """A queue list, as it is written, and the namespace whose queues it names."""

    queues: str
    namespace: str


def by_queues(counts: Mapping[PoolKey, int]) -> dict[str, int]:
    """Return numbers of workers by queue list, summed over the namespaces."""
    found: dict[str, int] = {}
    for pool, count in counts.items():
        found[pool.queues] = found.get(pool.queues, 0) + count
    return found


def namespaces_of(pools: Iterable[PoolKey]) -> tuple[str, ...]:
    """Return the namespaces of pools, each once, in the order of the pools."""
    return tuple(dict.fromkeys(pool.namespace for pool in pools))
