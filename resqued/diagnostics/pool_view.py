"""The status of a pool as its master answers it, and its judgement. Sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from resqued.control import protocol
from resqued.control.protocol import JobLimits as JobLimits  # noqa: PLC0414 - passed on
from resqued.control.protocol import PoolWorker as PoolWorker  # noqa: PLC0414
from resqued.control.protocol import ReloadResult, StatusReply
from resqued.control.requests import SilentMaster
from resqued.core.plural import join_names, pluralize
from resqued.core.pool_key import PoolKey, namespaces_of


class PoolView(Struct, frozen=True):
    """A master and its workers. `error` is why the master does not answer, or "".

    `pools` are the wanted numbers of workers by queue list and namespace. `since` is
    how many seconds the master has run. `redis` is the URL of its server, without the
    password, and "" if an older version of the master does not send it. `primary` is
    the address of the primary, if it can move, and `primaries` those of namespaces that
    have several. `failed_reload` is the last reload, if it failed. `redis_error` is why
    the master cannot use its Redis, and `spawn_error` why it cannot order workers; ""
    if it can. `answer` is the reply that the other values come from.
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
    primary: str = ""
    primaries: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[PoolKey, int] = field(default_factory=dict)
    workers: Sequence[PoolWorker] = ()
    redis_error: str = ""
    spawn_error: str = ""

    @classmethod
    def of(cls, answer: StatusReply | SilentMaster) -> PoolView:
        """Return the pool of a reply, or of a master that did not reply."""
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
            primary=answer.primary,
            primaries={n.namespace: n.primary for n in answer.namespaces if n.primary},
            pools=_pools_of(answer),
            workers=answer.workers,
            redis_error=answer.redis_error,
            spawn_error=answer.spawn_error,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the reply as it was received, for --json."""
        return protocol.as_dict(self.answer)

    @property
    def wanted(self) -> int:
        """The wanted number of workers, in all pools together."""
        return sum(self.pools.values())

    @property
    def serves(self) -> str:
        """The Redis and the namespaces that the master serves, as text."""
        place = f"{self.redis}, " if self.redis else ""
        place += f"primary {self.primary}, " if self.primary else ""
        noun = "namespace" if len(self.namespaces) == 1 else "namespaces"
        return f"{place}{noun} {join_names(self._placed_namespaces)}"

    @property
    def _placed_namespaces(self) -> list[str]:
        """The namespaces, each with its primary where they have several."""
        if self.primary:
            return list(self.namespaces)
        return [
            f"{name} (primary {self.primaries[name]})"
            if name in self.primaries
            else name
            for name in self.namespaces
        ]

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces of the pools, each once."""
        return namespaces_of(self.pools)

    @property
    def ready(self) -> int:
        """How many workers are registered and have no order to leave."""
        return sum(w.phase != "starting" and not w.quits for w in self.workers)

    @property
    def starting(self) -> int:
        """How many workers are not registered yet."""
        return sum(worker.phase == "starting" for worker in self.workers)

    @property
    def leaving(self) -> int:
        """How many registered workers have an order to leave after their job."""
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
    def lacking(self) -> Mapping[PoolKey, int]:
        """The pools that lack workers, with how many they have."""
        only = next(iter(self.namespaces), "")
        there = Counter(
            PoolKey(worker.queues, worker.namespace or only)
            for worker in self.workers
            if worker.phase != "starting" and not worker.quits
        )
        return {
            pool: there[pool]
            for pool, wanted in self.pools.items()
            if there[pool] < wanted
        }

    def has(self, who: str) -> bool:
        """Return True if `who` is the id or pid of a worker, or the pid of a child."""
        return any(who in map(str, (w.id, w.pid, w.child)) for w in self.workers)

    def running_longer_than(self, age: float) -> list[PoolWorker]:
        """Return the workers whose job has run for more than `age` seconds."""
        running = (worker for worker in self.workers if worker.child is not None)
        return [worker for worker in running if (worker.since or 0.0) > age]


def limits_of(worker: PoolWorker) -> JobLimits | None:
    """Return the limits of a worker's job; None without a job, or if not known."""
    return worker.limits if isinstance(worker.limits, JobLimits) else None


def show_pools(pools: Mapping[PoolKey, int]) -> str:
    """Return the pools with their wanted numbers of workers, as text."""
    return "; ".join(f"{_in_words(pool, pools)}: {n}" for pool, n in pools.items())


def _in_words(pool: PoolKey, pools: Iterable[PoolKey]) -> str:
    """Return the queue list of a pool, with its namespace if there are several."""
    are_many = len(namespaces_of(pools)) > 1
    return f"{pool.queues} in {pool.namespace}" if are_many else pool.queues


def _pools_of(answer: StatusReply) -> dict[PoolKey, int]:
    """Return the pools of a reply; an older master has but one namespace."""
    if not answer.namespaces:
        return {PoolKey(q, answer.namespace): n for q, n in answer.pools.items()}
    return {
        PoolKey(queues, place.namespace): count
        for place in answer.namespaces
        for queues, count in place.pools.items()
    }


def why_it_waits(status: StatusReply, *, for_jobs: bool) -> str:
    """Return why a reload, or a drain (`for_jobs`), waits; "" without a known reason.

    While Redis is away or refuses writes, workers cannot register or record jobs.
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
    """Return the fault of a pool, as text after the name of its master, or "".

    A pause is no fault, because an operator has ordered it. A failed reload is no fault
    either, because the old generation serves.
    """
    if pool.state != "running":
        return f"is {pool.state}: it takes no more jobs"
    lacking = [
        f"{count} of {pluralize(pool.pools[key], 'worker')}"
        f" on {_in_words(key, pool.pools)}"
        for key, count in pool.lacking.items()
    ]
    if not lacking:
        return ""
    reason = pool.spawn_error or "its log and `resqued status` say more"
    return f"has {', '.join(lacking)}; {reason}"
