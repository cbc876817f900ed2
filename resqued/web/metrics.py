"""The metrics of /metrics, for Prometheus, from the shared snapshot.

Names keep to the conventions: a prefix, base units, _total for counters. No worker id
is a label, because each restart would make new series.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from resqued.core.histogram import BOUNDS
from resqued.core.version import VERSION
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import StoreError
from resqued.store.history import ClassRuns
from resqued.web.site import Site
from resqued.web.snapshot import SiteSnapshot
from resqued.wire.master_record import MasterRecord

T = TypeVar("T")

# The largest queues have a series each; how many others there are is a metric too.
MOST_QUEUES = 200
# In characters: each scrape carries all labels.
_LONGEST_LABEL = 1_000
PAUSED = "paused"
STATES = ("working", "idle", PAUSED, "dead", "silent", "unknown")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render_metrics(site: Site) -> bytes:
    """Return all metrics as text; Redis may be away (`resqued_up` is 0 then)."""
    registry = CollectorRegistry()
    registry.register(_Collector(site))
    return generate_latest(registry)


class _Collector:
    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[Metric]:
        """Return nothing: the registry need not collect to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of one scrape."""
        try:
            now = self._site.keeper.get()
        except StoreError:
            now = None
        is_up = now is not None and not now.problem
        yield _gauge("up", "Whether Redis answers.", float(is_up))
        build = GaugeMetricFamily(
            "resqued_build_info",
            "Version and namespace.",
            labels=("version", "namespace"),
        )
        build.add_metric((VERSION, self._site.settings.namespace), 1)
        yield build
        requests = CounterMetricFamily(
            "resqued_web_requests", "Answers of this process.", labels=("status",)
        )
        for status, number in sorted(self._site.requests.read().items()):
            requests.add_metric((status,), number)
        yield requests
        if now is not None:
            yield _gauge("snapshot_age_seconds", "Age of these values.", now.age)
            yield from self._round_trip()
            masters = self._site.facts.masters.value_or(())
            paused_hosts = _paused_hosts(masters)
            for read in (_counts, _totals, _failures, _queues):
                yield from _readable(read, now)
            yield from _readable(partial(_workers, paused_hosts=paused_hosts), now)
            yield from _masters(masters)
            yield from _classes(self._site.facts.today.value_or({}))

    def _round_trip(self) -> Iterator[Metric]:
        """Yield how long Redis took to answer just now; nothing if it did not."""
        with suppress(StoreError):
            link = self._site.client.registry.link
            began = time.monotonic()
            link.call("PING")
            took = time.monotonic() - began
            yield _gauge("redis_round_trip_seconds", "Time of a PING.", took)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"resqued_{name}", text, value=value)


def _readable(
    read: Callable[[SiteSnapshot], Iterator[Metric]], now: SiteSnapshot
) -> list[Metric]:
    """Return some metrics; none if Redis refuses what they are read from."""
    try:
        return [*read(now)]
    except StoreError:
        return []


def _totals(now: SiteSnapshot) -> Iterator[Metric]:
    processed, failed = now.totals
    yield CounterMetricFamily(
        "resqued_jobs_processed", "Jobs that ended.", value=processed
    )
    yield CounterMetricFamily("resqued_jobs_failed", "Jobs that failed.", value=failed)


def _counts(now: SiteSnapshot) -> Iterator[Metric]:
    yield _gauge("paused", "Whether all workers are paused.", float(now.are_paused))
    yield _gauge("pending_jobs", "Jobs that wait, in all queues.", now.pending)
    yield _gauge("queues", "Known queues.", len(now.queues))


def _failures(now: SiteSnapshot) -> Iterator[Metric]:
    yield _gauge("failures", "Failures that are kept.", now.failures)


def _paused_hosts(masters: Sequence[MasterRecord]) -> frozenset[str]:
    """Return the hosts of which every master is paused."""
    going = {one.host for one in masters if not one.is_paused}
    return frozenset(one.host for one in masters) - going


def _state(
    worker: WorkerStatus, paused_hosts: Container[str], now: SiteSnapshot
) -> str:
    """Return the state of a worker; one that waits because of a pause is paused.

    A pause of all workers counts for those of other libraries, too; one of a master
    for its own.
    """
    own = not worker.is_foreign and worker.worker.host in paused_hosts
    is_paused = worker.state == "idle" and (now.are_paused or own)
    return PAUSED if is_paused else worker.state


def _workers(now: SiteSnapshot, paused_hosts: Container[str]) -> Iterator[Metric]:
    counted = Counter(_state(each, paused_hosts, now) for each in now.workers)
    family = GaugeMetricFamily(
        "resqued_workers", "Registered workers by state.", labels=("state",)
    )
    for state in STATES:
        family.add_metric((state,), counted[state])
    yield family
    # By a clock that is ahead they may be of the future.
    ages = [each.job_age for each in now.working if each.job_age is not None]
    yield _gauge("oldest_job_seconds", "Run time of the oldest job.", max([0.0, *ages]))
    beats = [
        each.heartbeat_age for each in now.workers if each.heartbeat_age is not None
    ]
    yield _gauge(
        "heartbeat_age_seconds", "Age of the oldest heartbeat.", max([0.0, *beats])
    )


def _queues(now: SiteSnapshot) -> Iterator[Metric]:
    ranked = sorted(now.queues.items(), key=lambda item: (-item[1], item[0]))
    shown = _by_label(ranked[:MOST_QUEUES])
    services = now.services
    jobs = GaugeMetricFamily("resqued_queue_jobs", "Jobs that wait.", labels=("queue",))
    workers = GaugeMetricFamily(
        "resqued_queue_workers", "Live workers that serve the queue.", labels=("queue",)
    )
    paused = GaugeMetricFamily(
        "resqued_queue_paused", "Whether the queue is paused.", labels=("queue",)
    )
    for label, (name, size) in shown.items():
        jobs.add_metric((label,), size)
        workers.add_metric((label,), services.of(name).live)
        paused.add_metric((label,), float(name in now.paused_queues))
    yield jobs
    yield workers
    yield paused
    yield _gauge("queues_omitted", "Queues without a series.", len(ranked) - len(shown))


def _masters(records: Sequence[MasterRecord]) -> Iterator[Metric]:
    states = Counter("paused" if one.is_paused else one.state for one in records)
    family = GaugeMetricFamily(
        "resqued_masters", "Masters that have a record, by state.", labels=("state",)
    )
    for state in sorted({"running", "paused", *states}):
        family.add_metric((state,), states[state])
    yield family


def _classes(today: Mapping[str, ClassRuns]) -> Iterator[Metric]:
    """Yield what the history knows of today, which begins at 0 at midnight (UTC)."""
    jobs = CounterMetricFamily(
        "resqued_class_jobs", "Runs since midnight.", labels=("class", "outcome")
    )
    durations = HistogramMetricFamily(
        "resqued_job_duration_seconds", "Time of a run.", labels=("class",)
    )
    for label, (_, runs) in _by_label(sorted(today.items())).items():
        jobs.add_metric((label, "succeeded"), max(0, runs.done - runs.failed))
        jobs.add_metric((label, "failed"), runs.failed)
        counts = list(accumulate(runs.buckets))
        bounds = [*(f"{bound / 1000:g}" for bound in BOUNDS), "+Inf"]
        pairs = list(zip(bounds, counts, strict=True))
        durations.add_metric((label,), pairs, runs.milliseconds / 1000)
    yield jobs
    yield durations


def _by_label(named: Sequence[tuple[str, T]]) -> dict[str, tuple[str, T]]:
    """Return name and value by the label of the name, which is its beginning.

    Of two names with the same label the second has no series: Prometheus takes no
    series twice.
    """
    found: dict[str, tuple[str, T]] = {}
    for name, value in named:
        label = name[:_LONGEST_LABEL].encode("utf-8", "backslashreplace").decode()
        found.setdefault(label, (name, value))
    return found
