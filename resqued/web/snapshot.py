"""The shared look at Redis: at most one a second, however many pages are open.

The request that finds the snapshot old reads a new one; others get the last one. While
Redis is away, one request a second tries again, and all others get the last snapshot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from resqued.client import Client
from resqued.diagnostics.overview import Overview, read_overview
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import StoreError
from resqued.store.counters import Counters
from resqued.store.job_queues import Queues

# A snapshot that is older is read again, in seconds; as long a failed look counts.
MAX_AGE = 1.0


@dataclass(frozen=True, slots=True)
class SiteSnapshot:
    """An overview of the namespace and the time at which it was read.

    `taken_at` is by the clock of this host; `are_paused` is True if all workers are.
    `problem` is why no newer one could be read, or "".
    """

    overview: Overview
    are_paused: bool
    taken_at: float
    problem: str = ""

    @property
    def age(self) -> float:
        """How old the snapshot is, in seconds."""
        return max(0.0, time.time() - self.taken_at)

    @property
    def counters(self) -> Counters:
        """The counters of the namespace."""
        return self.overview.counters

    @property
    def worker_ids(self) -> Sequence[str]:
        """The ids of all registered workers."""
        return [each.worker.id for each in self.workers]

    @property
    def working_count(self) -> int:
        """How many workers run a job."""
        return len(self.working)

    @property
    def paused_queues(self) -> frozenset[str]:
        """The names of the queues that are paused."""
        return frozenset(self.overview.paused)

    @property
    def queues(self) -> Mapping[str, int]:
        """The length of each queue by its name."""
        return self.overview.queues

    @property
    def workers(self) -> Sequence[WorkerStatus]:
        """Every registered worker."""
        return self.overview.workers

    @property
    def working(self) -> list[WorkerStatus]:
        """The workers that run a job, the one with the oldest job first."""
        busy = [each for each in self.workers if each.worker.job]
        return sorted(busy, key=lambda each: -(each.job_age or 0.0))


def read_snapshot(client: Client, queues: Queues) -> SiteSnapshot:
    """Return a new snapshot; raise StoreError if Redis does not answer."""
    overview = read_overview(client)
    return SiteSnapshot(overview, queues.are_paused(), time.time())


class SnapshotKeeper:
    """Keeps the last snapshot; safe to use from several threads."""

    def __init__(
        self,
        client: Client,
        queues: Queues,
        read: Callable[[Client, Queues], SiteSnapshot] = read_snapshot,
    ) -> None:
        self._read = partial(read, client, queues)
        self._lock = threading.Lock()
        self._last: SiteSnapshot | None = None
        self._problem: StoreError | None = None
        self._tried_at = float("-inf")

    def get(self) -> SiteSnapshot:
        """Return a snapshot of the last second, or the last one with its problem.

        Raises StoreError if none could be read so far.
        """
        if self._is_due() and self._lock.acquire(blocking=self._last is None):
            try:
                if self._is_due():
                    self._refresh()
            finally:
                self._lock.release()
        if self._last is None:
            assert self._problem is not None
            raise self._problem
        return self._last

    def forget(self) -> None:
        """Let the next look read, since an action has changed something."""
        self._tried_at = float("-inf")

    def _is_due(self) -> bool:
        return time.monotonic() - self._tried_at >= MAX_AGE

    def _refresh(self) -> None:
        try:
            self._last, self._problem = self._read(), None
        except StoreError as error:
            self._problem = error
            if self._last:
                last = self._last
                self._last = SiteSnapshot(
                    last.overview, last.are_paused, last.taken_at, str(error)
                )
        finally:
            # Measured from the end, so that a slow server is not asked all the time.
            self._tried_at = time.monotonic()
