"""What the pages show of Redis: parts that all requests share.

Every page needs the summary. Workers with their jobs, and the newest failures, are
read only for pages that show them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TypeVar

from msgspec import Struct

from resqued.client import Client
from resqued.diagnostics.queue_service import QueueServices, Summary, unserved
from resqued.diagnostics.worker_status import WorkerStatus, worker_statuses
from resqued.errors import StoreError
from resqued.store.counters import Counters
from resqued.store.failure_entry import Failure
from resqued.store.job_queues import Queues
from resqued.store.registry import PAGE, Registry
from resqued.store.store_errors import ForbiddenError, is_about_key
from resqued.web.shared_read import Breaker, Reading, SharedRead

T = TypeVar("T")
# The newest failures that the overview shows.
NEWEST = 5
# How many of the newest records of the audit may say who has paused what.
_AUDITED = 300
# The target of a record of the audit that all workers were paused or resumed.
EVERY_WORKER = "all workers"
# The most bytes that are read of the record of a worker: one may have megabytes.
LONGEST_RECORD = 16 << 10


def unless_refused(
    read: Callable[[], T], default: T, note: Callable[[StoreError], object]
) -> T:
    """Return what is read; if Redis refuses its key, note the error, and the default.

    Raises other StoreErrors.
    """
    try:
        return read()
    except StoreError as error:
        if not is_about_key(error):
            raise
        note(error)
        return default


class SiteSnapshot:
    """What one request shows; the same for all of its parts.

    `counters` are those of the namespace, `queues` the length of each queue by its
    name, `worker_ids` the registered workers, `working_count` how many run a job.
    `are_paused` is True if all workers are. `taken_at` is by the clock of this host;
    `clock_ahead` are the seconds that the server's clock is ahead of it. `problem` is
    why no newer snapshot could be read, or "".
    """

    def __init__(
        self,
        summary: Reading[Summary],
        workers: Callable[[], Reading[Sequence[WorkerStatus]]],
        failures: Callable[[], Reading[Sequence[Failure]]],
        services: Callable[[], Reading[QueueServices]],
    ) -> None:
        self.summary = summary.value
        self.taken_at = summary.taken_at
        self.problem = summary.problem
        self._workers = workers
        self._failures = failures
        self._services = services

    def _part(self, *names: str) -> Summary:
        """Return the summary; raise StoreError if one of its parts was refused."""
        refused = self.summary.refused
        if error := next((refused[name] for name in names if name in refused), None):
            raise error
        return self.summary

    @property
    def refusals(self) -> Sequence[str]:
        """What Redis has refused of the summary, each in one line."""
        return sorted({str(error) for error in self.summary.refused.values()})

    @property
    def known_pending(self) -> int | None:
        """How many jobs wait in all queues; None if Redis has refused that."""
        return None if "queues" in self.summary.refused else self.pending

    @property
    def pending(self) -> int:
        """How many jobs wait in all queues. Raises StoreError if it was refused."""
        return sum(self.queues.values())

    @property
    def failures(self) -> int:
        """How many failures are kept. Raises StoreError if it was refused."""
        return self._part("failures").failures

    @property
    def totals(self) -> tuple[int, int]:
        """How many jobs were ever run, and have failed; raises StoreError likewise."""
        return self._part("totals").totals

    @property
    def counters(self) -> Counters:
        """The counters of the namespace; raises StoreError if one was refused."""
        return Counters(self.pending, *self.totals, self.failures)

    @property
    def queues(self) -> Mapping[str, int]:
        """The length of each queue by its name. Raises StoreError if it was refused."""
        return self._part("queues").queues

    @property
    def worker_ids(self) -> Sequence[str]:
        """The ids of all registered workers, sorted; raises StoreError likewise."""
        return self._part("worker_ids").worker_ids

    @property
    def working_count(self) -> int:
        """How many workers run a job. Raises StoreError if it was refused."""
        return self._part("worker_ids", "working").working

    @property
    def are_paused(self) -> bool:
        """Whether all workers of all hosts are paused."""
        return self.summary.are_paused

    @property
    def paused_by(self) -> str:
        """The user who has paused all workers, by the audit; "" if not known."""
        return self.summary.pausers.get(EVERY_WORKER, "")

    def pauser_of(self, queue: str) -> str:
        """Return the user who has paused a queue, by the audit; "" if not known."""
        return self.summary.pausers.get(queue_target(queue), "")

    @property
    def paused_queues(self) -> frozenset[str]:
        """The names of the queues that are paused."""
        return self.summary.paused_queues

    @property
    def clock_ahead(self) -> float:
        """How many seconds the server's clock is ahead of the one of this host."""
        return self.summary.clock_ahead

    @property
    def age(self) -> float:
        """How old the snapshot is, in seconds."""
        return max(0.0, time.time() - self.taken_at)

    @property
    def unserved(self) -> Sequence[str]:
        """The queues with jobs that no registered worker serves, the longest first."""
        return self.summary.unserved

    @cached_property
    def workers(self) -> Sequence[WorkerStatus]:
        """Every registered worker; read when first asked for. Raises StoreError."""
        return self._workers().value

    @cached_property
    def working(self) -> Sequence[WorkerStatus]:
        """The workers that run a job, the one with the oldest job first."""
        busy = [each for each in self.workers if each.worker.job]
        return sorted(busy, key=lambda each: -(each.job_age or 0.0))

    @cached_property
    def services(self) -> QueueServices:
        """Who serves each queue; reads the workers. Raises StoreError."""
        return self._services().value

    @cached_property
    def newest_failures(self) -> Sequence[Failure]:
        """The newest failures, the newest first; read when first asked for."""
        return self._failures().value


class _Reader(Struct, frozen=True):
    client: Client
    queues: Queues

    def summary(self) -> Summary:
        registry, refused = self.client.registry, dict[str, StoreError]()

        def part(name: str, read: Callable[[], T], default: T) -> T:
            return unless_refused(read, default, partial(refused.__setitem__, name))

        sizes = part("queues", self.queues.sizes, dict[str, int]())
        ids = part("worker_ids", lambda: sorted(registry.ids()), list[str]())
        none = frozenset[str]()
        are_paused, paused = part("are_paused", self._pauses, (False, none))
        return Summary(
            queues=sizes,
            worker_ids=ids,
            totals=part("totals", registry.totals, (0, 0)),
            failures=part("failures", self.client.failures.count, 0),
            working=part("working", lambda: _count_working(registry, ids), 0),
            are_paused=are_paused,
            pausers=_pausers(registry) if are_paused or paused else {},
            # Without the workers each queue would seem to have none.
            unserved=() if "worker_ids" in refused else unserved(sizes, ids),
            paused_queues=paused,
            clock_ahead=part("clock_ahead", self._clock_ahead, 0.0),
            refused=refused,
        )

    def _pauses(self) -> tuple[bool, frozenset[str]]:
        try:
            return self.queues.pauses()
        except ForbiddenError:
            # A set that access rules hide pauses nothing, for workers too.
            return self.queues.are_paused(), frozenset()

    def _clock_ahead(self) -> float:
        return self.client.registry.link.time() - time.time()

    def workers(self) -> Sequence[WorkerStatus]:
        return worker_statuses(self.client, longest_record=LONGEST_RECORD)

    def failures(self) -> Sequence[Failure]:
        return self.client.failures.page(count=NEWEST)


def queue_target(queue: str) -> str:
    """Return the target of a record of the audit that a queue was paused or resumed."""
    return f"queue {queue}"


# What a record of another program can raise.
_NO_ACT = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


def _pausers(registry: Registry) -> Mapping[str, str]:
    """Return the users who have paused something last, by the target of the record."""
    key, found = registry.keys.audit, dict[str, str]()
    try:
        newest = registry.link.call("XREVRANGE", key, "+", "-", "COUNT", _AUDITED)
    except StoreError:
        return found  # pages do without names
    for _, fields in reversed(newest):
        with suppress(*_NO_ACT):
            act = json.loads(fields[b"action"])
            if act["action"] in ("pause", "resume"):
                user = str(act["user"]) if act["action"] == "pause" else ""
                found[str(act["target"])] = user
    return found


def _count_working(registry: Registry, ids: Sequence[str]) -> int:
    """Return how many workers have a record, without reading the records."""
    keys = [registry.keys.worker(each) for each in ids]
    pages = [keys[start : start + PAGE] for start in range(0, len(keys), PAGE)]
    return sum(registry.link.pipeline([("EXISTS", *page) for page in pages]))


class SnapshotKeeper:
    """Keeps the last reading of each part; safe to use from several threads."""

    def __init__(self, client: Client, queues: Queues, breaker: Breaker) -> None:
        self._breaker = breaker
        reader = _Reader(client, queues)
        shared = partial(SharedRead, breaker=self._breaker)
        self._summary: SharedRead[Summary] = shared(reader.summary)
        self._workers: SharedRead[Sequence[WorkerStatus]] = shared(reader.workers)
        self._failures: SharedRead[Sequence[Failure]] = shared(reader.failures)
        # It asks Redis by the others alone.
        self._services = SharedRead(self._read_services, Breaker())

    def get(self) -> SiteSnapshot:
        """Return a snapshot of the last second, or the last one with its problem.

        Raises StoreError if none could be read so far.
        """
        parts = self._workers.get, self._failures.get, self._services.get
        return SiteSnapshot(self._summary.get(), *parts)

    def _read_services(self) -> QueueServices:
        # A thread that reads this is no look at the others.
        now = self._summary.reading().value
        services = QueueServices(
            now.queues,
            self._workers.reading().value,
            are_paused=now.are_paused,
            paused=now.paused_queues,
        )
        # Ranked here, so that no request ranks 10,000 queues.
        services.ranked()
        return services

    def check(self) -> None:
        """Raise StoreError at once if Redis has not answered at the last attempt."""
        if self._breaker.problem is not None:
            self.get()
        if (problem := self._breaker.problem) is not None:
            raise problem

    def forget(self) -> None:
        """Let the next look read, since an action has changed something."""
        for part in (self._summary, self._workers, self._failures, self._services):
            part.forget()
