"""The wanted number of workers by pool, from configuration and commands."""

from __future__ import annotations

from collections.abc import Mapping

from resqued.core.pool_key import PoolKey, namespaces_of
from resqued.errors import ControlError


class WantedWorkers:
    """The wanted number of workers by pool; the order is the configuration's."""

    def __init__(self) -> None:
        self._counts: dict[PoolKey, int] = {}
        # The generation whose configuration the numbers come from.
        self._generation: int | None = None
        # The numbers set by command since the configuration was read.
        self._scaled: dict[PoolKey, int] = {}

    @property
    def counts(self) -> Mapping[PoolKey, int]:
        """The wanted number of workers by pool."""
        return self._counts

    def follow(self, generation: int, configured: Mapping[PoolKey, int]) -> None:
        """Use the numbers of a generation, except those set by command since."""
        if generation != self._generation:
            self._generation = generation
            self._counts = {
                pool: self._scaled.get(pool, workers)
                for pool, workers in configured.items()
            }

    def resume(self, generation: int, counts: Mapping[PoolKey, int]) -> None:
        """Use the numbers that the older program of this master recorded."""
        self._generation, self._counts = generation, dict(counts)

    def forget_scaling(self) -> None:
        """Forget the numbers set by command: the next generation brings its own."""
        self._scaled.clear()

    def scale(self, pool: PoolKey, workers: int) -> None:
        """Set the wanted number of workers of an existing pool."""
        self._counts[pool] = self._scaled[pool] = workers

    def pool_named(self, queues: str | None, namespace: str | None) -> PoolKey:
        """Return the pool of a queue list and namespace; None means the only one.

        Raises ControlError if there is no such pool, or more than one.
        """
        found = [
            pool
            for pool in self._counts
            if queues in (None, pool.queues) and namespace in (None, pool.namespace)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            where = "" if namespace is None else f" in namespace {namespace}"
            what = "" if queues is None else f" on {queues!r}"
            pools = _in_words(list(self._counts))
            raise ControlError(f"there is no pool{what}{where}; there is {pools}")
        way = "its queues" if queues is None else "its namespace with -N"
        pools = _in_words(found)
        raise ControlError(f"which pool? name {way}: there are {pools}")


def _in_words(pools: list[PoolKey]) -> str:
    """Return the queue lists, with their namespaces if there are several."""
    are_many = len(namespaces_of(pools)) > 1
    return " and ".join(
        f"{pool.queues!r} in {pool.namespace}" if are_many else repr(pool.queues)
        for pool in pools
    )
