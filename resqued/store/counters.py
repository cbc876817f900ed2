"""The counters of a namespace, gathered in one place."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import asdict

from resqued.store.failures import Failures
from resqued.store.registry import Registry


class Counters(Struct, frozen=True):
    """The numbers of jobs of each kind, in one namespace.

    `pending` jobs wait, in all queues together. `processed` jobs were ever run, by all
    workers; `failed` of them failed. `failures` entries are in the failed list now.
    """

    pending: int
    processed: int
    failed: int
    failures: int

    def as_dict(self) -> dict[str, int]:
        """Return the counters by their names."""
        return asdict(self)


def count_jobs(
    sizes: Mapping[str, int], registry: Registry, failures: Failures
) -> Counters:
    """Return the counters; `sizes` are the lengths of all queues, read before.

    Raises StoreError if Redis does not answer.
    """
    processed, failed = registry.totals()
    return Counters(sum(sizes.values()), processed, failed, failures.count())
