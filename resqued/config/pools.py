"""The pools of a configuration, each written as [[pool]]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from msgspec import Struct

from resqued.config import readers
from resqued.config.narrower import read_limits
from resqued.config.readers import suggest
from resqued.config.schema import LIMITS
from resqued.core.limits import UNSET, Limits
from resqued.core.pool_key import PoolKey
from resqued.errors import QueueListError
from resqued.wire import queue_list
from resqued.wire.keys import DEFAULT_NAMESPACE

# The most workers of one pool; more is taken for a typing error.
MOST_WORKERS = 10_000
POOL_KEYS = ("queues", "workers", "namespace", *LIMITS)


class PoolConfig(Struct, frozen=True):
    """One pool: queue list, number of workers, limits of its jobs, namespace."""

    queues: str
    workers: int
    limits: Limits = UNSET
    namespace: str = DEFAULT_NAMESPACE

    @property
    def key(self) -> PoolKey:
        """What tells this pool from the others."""
        return PoolKey(self.queues, self.namespace)


def read_pools(
    tables: object, default: str, problems: list[str]
) -> tuple[PoolConfig, ...]:
    """Return the pools; `default` is the namespace of those that name none."""
    if not is_array(tables):
        problems.append("pool must be written as [[pool]], once for each pool")
        return ()
    pools: list[PoolConfig] = []
    for number, table in enumerate(tables, start=1):
        place = f"[[pool]] {number}"
        key = _read_key(table, default, place, problems)
        _check_is_new(key, pools, place, problems)
        workers = table.get("workers", 1)
        is_number = isinstance(workers, int) and not isinstance(workers, bool)
        if not (is_number and 1 <= workers <= MOST_WORKERS):
            problems.append(
                f"{place} workers: {workers!r} must be a whole number from 1 to"
                f" {MOST_WORKERS}"
            )
        else:
            limits = read_limits(table, place, problems)
            pools.append(PoolConfig(key.queues, workers, limits, key.namespace))
    return tuple(pools)


def _read_key(
    table: Mapping[str, Any], default: str, place: str, problems: list[str]
) -> PoolKey:
    """Return queue list and namespace of a pool, and add the problems of both."""
    problems += [
        f"{place}: unknown key {key!r}{suggest(key, POOL_KEYS)}"
        for key in table
        if key not in POOL_KEYS
    ]
    names, namespace = table.get("queues", ""), table.get("namespace", default)
    try:
        queue_list.parse(readers.text(names))
    except (ValueError, QueueListError) as error:
        problems.append(f"{place} queues: {error}")
    try:
        readers.namespace(namespace)
    except ValueError as error:
        problems.append(f"{place} namespace: {error}")
    return PoolKey(str(names), str(namespace))


def _check_is_new(
    key: PoolKey, pools: Sequence[PoolConfig], place: str, problems: list[str]
) -> None:
    """Add a problem if another pool has the same queue list in the same namespace."""
    if any(key == pool.key for pool in pools):
        problems.append(
            f"{place} queues: {key.queues!r} is the list of another pool, too:"
            " merge the two pools"
        )


def is_array(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Return True if a value was written as [[value]]."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
