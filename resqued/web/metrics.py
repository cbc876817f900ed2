"""The metrics of /metrics, for Prometheus, from the shared snapshot.

Names keep to the conventions: a prefix, base units, _total for counters. No worker id
is a label, because each restart would make new series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from resqued.core.version import VERSION
from resqued.errors import StoreError
from resqued.web.site import Site
from resqued.web.snapshot import SiteSnapshot
from resqued.wire.queue_list import QueueList

# The largest queues have a series each; how many others there are is a metric too.
MOST_QUEUES = 200
STATES = ("working", "idle", "dead", "silent", "unknown")
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
            yield from _totals(now)
            yield from _workers(now)
            yield from _queues(now)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"resqued_{name}", text, value=value)


def _totals(now: SiteSnapshot) -> Iterator[Metric]:
    counters = now.counters
    yield CounterMetricFamily(
        "resqued_jobs_processed", "Jobs that ended.", value=counters.processed
    )
    yield CounterMetricFamily(
        "resqued_jobs_failed", "Jobs that failed.", value=counters.failed
    )
    yield _gauge("pending_jobs", "Jobs that wait, in all queues.", counters.pending)
    yield _gauge("failures", "Failures that are kept.", counters.failures)
    yield _gauge("queues", "Known queues.", len(now.queues))
    yield _gauge("paused", "Whether all workers are paused.", float(now.are_paused))


def _workers(now: SiteSnapshot) -> Iterator[Metric]:
    counted = Counter(each.state for each in now.workers)
    family = GaugeMetricFamily(
        "resqued_workers", "Registered workers by state.", labels=("state",)
    )
    for state in STATES:
        family.add_metric((state,), counted[state])
    yield family
    ages = [each.job_age for each in now.working if each.job_age is not None]
    yield _gauge(
        "oldest_job_seconds", "Run time of the oldest job.", max(ages, default=0)
    )
    beats = [
        each.heartbeat_age for each in now.workers if each.heartbeat_age is not None
    ]
    yield _gauge(
        "heartbeat_age_seconds", "Age of the oldest heartbeat.", max(beats, default=0)
    )


def _queues(now: SiteSnapshot) -> Iterator[Metric]:
    ranked = sorted(now.queues.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked[:MOST_QUEUES]
    serving = serving_counts(now, [name for name, _ in shown])
    jobs = GaugeMetricFamily("resqued_queue_jobs", "Jobs that wait.", labels=("queue",))
    workers = GaugeMetricFamily(
        "resqued_queue_workers", "Live workers that serve the queue.", labels=("queue",)
    )
    for name, size in shown:
        label = (name.encode("utf-8", "backslashreplace").decode(),)
        jobs.add_metric(label, size)
        workers.add_metric(label, serving[name])
    yield jobs
    yield workers
    yield _gauge("queues_omitted", "Queues without a series.", len(ranked) - len(shown))


def serving_counts(now: SiteSnapshot, names: list[str]) -> Mapping[str, int]:
    """Return how many live workers serve each of the queues."""
    live = Counter(
        each.worker.queues for each in now.workers if each.state in ("working", "idle")
    )
    lists = [(QueueList(queues), number) for queues, number in live.items()]
    return {
        name: sum(number for queues, number in lists if queues.serves(name))
        for name in names
    }
