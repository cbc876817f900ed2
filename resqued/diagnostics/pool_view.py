"""What a master answers about its pool, as records. Pure: asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resqued.core.plural import pluralize


class JobName(NamedTuple):
    """The job that a worker runs, as the title of its child names it."""

    queue: str
    class_name: str


class JobLimits(NamedTuple):
    """The limits of a running job: seconds and bytes; None or 0 for none."""

    runtime: float | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class PoolWorker:
    """A worker as its master sees it.

    `served` is its queue list. `quits`: it takes no more jobs. `age` are the seconds
    since its phase began, None if that is not known. `child` is the process of its
    job, None without one; `limits` are None if they are not known. `cpu`, the seconds
    of processor time used, and `memory`, in bytes, are None unless asked for.
    """

    id: str
    pid: int | None
    served: str
    generation: int
    phase: str
    quits: bool
    age: float | None
    done: int
    failed: int
    child: int | None = None
    job: JobName | None = None
    limits: JobLimits | None = None
    cpu: float | None = None
    memory: int | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> PoolWorker:
        """Return the worker that a part of an answer describes."""
        job, limits = answer["job"], answer.get("limits")
        return cls(
            id=answer["id"],
            pid=answer["pid"],
            served=answer["queues"],
            generation=answer["generation"],
            phase=answer["phase"],
            quits=answer["quits"],
            age=answer["since"],
            done=answer["done"],
            failed=answer["failed"],
            child=answer["child"],
            job=JobName(job["queue"], job["class"]) if job else None,
            limits=JobLimits(limits["runtime"], limits["memory"]) if limits else None,
            cpu=answer.get("cpu"),
            memory=answer.get("memory"),
        )

    @property
    def has_job(self) -> bool:
        """Whether it runs a job."""
        return self.child is not None

    @property
    def counts(self) -> bool:
        """Whether it is one of those that its pool wants: registered, to stay."""
        return self.phase != "starting" and not self.quits


class FailedReload(NamedTuple):
    """A generation that could not start; the one before it goes on."""

    generation: int
    error: str


@dataclass(frozen=True, slots=True)
class PoolView:
    """A master and its workers. `error` says why it does not answer; else it is "".

    `pools` are the queue lists with how many workers each is to have. `age` are the
    seconds since the master began.
    """

    pid: int
    error: str = ""
    state: str = ""
    is_paused: bool = False
    generation: int = 0
    is_reloading: bool = False
    failed_reload: FailedReload | None = None
    age: float = 0.0
    pools: Mapping[str, int] = field(default_factory=dict)
    workers: Sequence[PoolWorker] = ()

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> PoolView:
        """Return the pool that an answer describes, or the lack of an answer."""
        if "error" in answer:
            return cls(answer["pid"], error=answer["error"])
        last = answer["last_reload"]
        return cls(
            pid=answer["pid"],
            state=answer["state"],
            is_paused=answer["is_paused"],
            generation=answer["generation"],
            is_reloading=answer["is_reloading"],
            failed_reload=FailedReload(last["generation"], last["error"])
            if last and last["error"]
            else None,
            age=answer["since"],
            pools=answer["pools"],
            workers=tuple(map(PoolWorker.of, answer["workers"])),
        )

    @property
    def wanted(self) -> int:
        """How many workers all of its pools are to have."""
        return sum(self.pools.values())

    @property
    def busy(self) -> int:
        """How many workers are in the phase that runs a job."""
        return sum(worker.phase == "running" for worker in self.workers)

    @property
    def jobs(self) -> int:
        """How many jobs run."""
        return sum(worker.has_job for worker in self.workers)

    @property
    def lacking(self) -> Mapping[str, int]:
        """The queue lists that lack workers, with how many they have."""
        there = Counter(worker.served for worker in self.workers if worker.counts)
        return {
            queues: there[queues]
            for queues, wanted in self.pools.items()
            if there[queues] < wanted
        }

    def has(self, who: str) -> bool:
        """Say whether an id or a pid is that of a worker, or of the child of one."""
        return any(who in map(str, (w.id, w.pid, w.child)) for w in self.workers)

    def running_longer_than(self, age: float) -> list[PoolWorker]:
        """Return the workers whose job has run for more than `age` seconds."""
        return [w for w in self.workers if w.has_job and (w.age or 0.0) > age]


def show_pools(pools: Mapping[str, int]) -> str:
    """Return queue lists with how many workers each is to have."""
    return "; ".join(f"{queues}: {count}" for queues, count in pools.items())


def problem_of(pool: PoolView) -> str:
    """Return what is wrong with a pool, to follow the name of its master, or "".

    A pause is no fault: an operator wanted it. Nor is a reload that failed: the old
    generation goes on.
    """
    if pool.state != "running":
        return f"is {pool.state}: it takes no more jobs"
    lacking = [
        f"{count} of {pluralize(pool.pools[queues], 'worker')} on {queues}"
        for queues, count in pool.lacking.items()
    ]
    if not lacking:
        return ""
    return f"has {', '.join(lacking)}; its log and `resqued status` say more"
