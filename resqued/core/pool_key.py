"""What tells the pools of a master apart: queue list and namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from resqued.core.plural import join_names

# How many namespaces a line of text names.
_NAMED = 3


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


def where_they_are(problems: Mapping[str, str]) -> Iterator[str]:
    """Yield each problem once, with the namespaces that have it.

    `problems` are those of each namespace, "" for none. With one namespace only the
    problem is named.
    """
    for problem in filter(None, dict.fromkeys(problems.values())):
        names = [name for name, other in problems.items() if other == problem]
        noun = "namespace" if len(names) == 1 else "namespaces"
        where = f" ({noun} {join_names(names, _NAMED)})"
        yield problem if len(problems) == 1 else problem + where
