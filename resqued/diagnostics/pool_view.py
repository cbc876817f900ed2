"""What a master answers about its pool, and what that means. Pure: asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resqued.control import protocol
from resqued.control.protocol import JobLimits as JobLimits  # noqa: PLC0414 - passed on
from resqued.control.protocol import PoolWorker as PoolWorker  # noqa: PLC0414
from resqued.control.protocol import ReloadResult, StatusReply
from resqued.control.requests import SilentMaster
from resqued.core.plural import pluralize


@dataclass(frozen=True, slots=True)
class PoolView:
    """A master and its workers. `error` says why it does not answer; else it is "".

    `pools` are the queue lists with how many workers each is to have. `since`: how
    many seconds the master has run. `redis` is the URL that it serves, without the
    password, and empty if the master is of a version that does not tell it.
    `failed_reload` is the last reload, if it failed. `redis_error` says why the master
    cannot use its Redis, and `spawn_error` why it cannot have workers forked; "" if it
    can.
    `answer` is what all of it was taken from.
    """

    answer: StatusReply | SilentMaster
    pid: int
    error: str = ""
    state: str = ""
    is_paused: bool = False
    generation: int = 0
    is_reloading: bool = False
    failed_reload: ReloadResult | None = None
    since: float = 0.0
    redis: str = ""
    namespace: str = ""
    pools: Mapping[str, int] = field(default_factory=dict)
    workers: Sequence[PoolWorker] = ()
    redis_error: str = ""
    spawn_error: str = ""

    @classmethod
    def of(cls, answer: StatusReply | SilentMaster) -> PoolView:
        """Return the pool that an answer describes, or the lack of an answer."""
        if isinstance(answer, SilentMaster):
            return cls(answer, answer.pid, error=answer.error)
        last = answer.last_reload
        return cls(
            answer,
            pid=answer.pid,
            state=answer.state,
            is_paused=answer.is_paused,
            generation=answer.generation,
            is_reloading=answer.is_reloading,
            failed_reload=last if last and last.error else None,
            since=answer.since,
            redis=answer.redis,
            namespace=answer.namespace,
            pools=answer.pools,
            workers=answer.workers,
            redis_error=answer.redis_error,
            spawn_error=answer.spawn_error,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as it stood on the socket, for --json."""
        return protocol.as_dict(self.answer)

    @property
    def wanted(self) -> int:
        """How many workers all of its pools are to have."""
        return sum(self.pools.values())

    @property
    def serves(self) -> str:
        """What it serves, in words: the Redis and the namespace."""
        place = f"{self.redis}, " if self.redis else ""
        return f"{place}namespace {self.namespace}"

    @property
    def ready(self) -> int:
        """How many workers are registered and are to stay."""
        return sum(w.phase != "starting" and not w.quits for w in self.workers)

    @property
    def starting(self) -> int:
        """How many workers are not registered yet."""
        return sum(worker.phase == "starting" for worker in self.workers)

    @property
    def leaving(self) -> int:
        """How many registered workers finish their job and then leave."""
        return sum(w.phase != "starting" and w.quits for w in self.workers)

    @property
    def busy(self) -> int:
        """How many workers are in the phase that runs a job."""
        return sum(worker.phase == "running" for worker in self.workers)

    @property
    def jobs(self) -> int:
        """How many jobs run."""
        return sum(worker.child is not None for worker in self.workers)

    @property
    def lacking(self) -> Mapping[str, int]:
        """The queue lists that lack workers, with how many are registered to stay."""
        there = Counter(
            worker.queues
            for worker in self.workers
            if worker.phase != "starting" and not worker.quits
        )
        return {
            queues: there[queues]
            for queues, wanted in self.pools.items()
            if there[queues] < wanted
        }

    def has(self, who: str) -> bool:
        """Return True if an id or a pid is that of a worker, or of the child of one."""
        return any(who in map(str, (w.id, w.pid, w.child)) for w in self.workers)

    def running_longer_than(self, age: float) -> list[PoolWorker]:
        """Return the workers whose job has run for more than `age` seconds."""
        running = (worker for worker in self.workers if worker.child is not None)
        return [worker for worker in running if (worker.since or 0.0) > age]


def limits_of(worker: PoolWorker) -> JobLimits | None:
    """Return the limits of the job of a worker; None without a job, or not known."""
    return worker.limits if isinstance(worker.limits, JobLimits) else None


def show_pools(pools: Mapping[str, int]) -> str:
    """Return queue lists with how many workers each is to have."""
    return "; ".join(f"{queues}: {count}" for queues, count in pools.items())


def why_it_waits(status: StatusReply, *, for_jobs: bool) -> str:
    """Return why a reload, or a drain (`for_jobs`), takes so long; "" if it just does.

    While Redis is away or refuses writes, no worker can register, nor record a job.
    """
    if status.redis_error:
        return f"no worker can register or record a job: {status.redis_error}"
    if status.spawn_error:
        return f"workers are missing: {status.spawn_error}"
    jobs = sum(worker.child is not None for worker in status.workers)
    if for_jobs and jobs:
        return f"{pluralize(jobs, 'job')} still {'runs' if jobs == 1 else 'run'}"
    return ""


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
    reason = pool.spawn_error or "its log and `resqued status` say more"
    return f"has {', '.join(lacking)}; {reason}"
