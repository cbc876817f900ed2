"""Counters, queues and workers of one namespace, read for one view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from resqued.client import Client
from resqued.diagnostics.worker_status import WorkerStatus, worker_statuses
from resqued.store.counters import Counters, count_jobs


class Overview(Struct, frozen=True):
    """Counters, the length of each queue by its name, and every registered worker.

    `paused` are the names of the paused queues.

    They were read one after the other, while workers were running.
    """

    counters: Counters
    queues: Mapping[str, int]
    workers: Sequence[WorkerStatus]
    paused: Sequence[str] = ()


def read_overview(client: Client) -> Overview:
    """Return the overview of a namespace; raise StoreError if Redis does not answer."""
    sizes = client.queue_sizes()
    counters = count_jobs(sizes, client.registry, client.failures)
    paused = client.paused_queues()
    return Overview(counters, sizes, worker_statuses(client), paused)
