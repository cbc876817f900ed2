"""The CPU and memory that workers and jobs use, between two readings. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from resqued.diagnostics.pool_view import JobLimits, PoolView, PoolWorker, limits_of


class Sample(NamedTuple):
    """The CPU time that one worker and its job had used at one time.

    `at` is a time of the monotonic clock, `cpu` the CPU time, both in seconds.
    """

    at: float
    cpu: float


# By the pids of worker and child, so that a job is not compared with an earlier one.
Samples = Mapping[tuple[int, int], Sample]


class WorkerUsage(Struct, frozen=True):
    """A worker, how many processors it uses, and the used shares of its limits.

    `processors` is None if not known. `runtime_share` and `memory_share` are the used
    part of a limit, 1.0 for all of it; 0.0 without a limit.
    """

    worker: PoolWorker
    limits: JobLimits
    processors: float | None
    runtime_share: float
    memory_share: float


def take_samples(pools: Iterable[PoolView], at: float) -> Samples:
    """Return the CPU time of each worker at a time, to compare with a later one."""
    return {
        _key(worker): Sample(at, worker.cpu)
        for pool in pools
        for worker in pool.workers
        if worker.cpu is not None
    }


def usage_of(
    workers: Sequence[PoolWorker], samples: Samples, now: float
) -> list[WorkerUsage]:
    """Return the usage of each worker: busy ones first, the oldest job first."""
    ordered = sorted(workers, key=lambda w: (w.child is None, -(w.since or 0.0), w.id))
    return [_usage(worker, samples.get(_key(worker)), now) for worker in ordered]


def _usage(worker: PoolWorker, sample: Sample | None, now: float) -> WorkerUsage:
    limits = limits_of(worker) or JobLimits(runtime=None, memory=None)
    return WorkerUsage(
        worker,
        limits,
        processors(worker, sample, now),
        runtime_share=_share(worker.since, limits.runtime),
        memory_share=_share(worker.memory, limits.memory),
    )


def processors(worker: PoolWorker, sample: Sample | None, now: float) -> float | None:
    """Return how many processors a worker used on average since the sample.

    Without a sample: since its job began. None for a worker with neither.
    """
    if worker.cpu is None:
        return None
    if sample is not None and now > sample.at:
        return max(0.0, worker.cpu - sample.cpu) / (now - sample.at)
    if worker.child is not None and worker.since:
        return worker.cpu / worker.since
    return None


def _key(worker: PoolWorker) -> tuple[int, int]:
    return worker.pid or 0, worker.child or 0


def _share(used: float | None, limit: float | None) -> float:
    return used / limit if used and limit else 0.0
