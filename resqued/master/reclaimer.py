"""Removal of dead workers from the registry: this master's, and those of others.

Runs in the master, a page of the registry at a time, so that signals never wait. A
worker of this master is reclaimed when all processes of its job are dead, because
a job that is recorded as failed must not be running any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from msgspec import Struct

from resqued.core.exit_status import Exit
from resqued.core.timings import DEFAULT_TIMINGS, NEVER, Timings
from resqued.core.worker_death import DeathRules
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.store import bulk, pruning
from resqued.store.availability import RedisAvailability
from resqued.store.pruning import job_of
from resqued.store.registry import ReclaimResult, Registry
from resqued.system.process_tree import JobProcesses
from resqued.wire.payload import DIRTY_EXIT, FailureInfo

# When to try again if a Ruby worker is pruning at the moment, in seconds.
OTHER_PRUNES = 2.0


class DeadWorker(Struct, frozen=True):
    """A worker of this master that has died and must be reclaimed."""

    worker_id: str
    identity: str
    how: Exit
    processes: JobProcesses | None


class Reclaimer:
    """Reclaims and prunes dead workers, while Redis is available.

    `deaths` returns what becomes of their jobs, `knows_deaths` False until the
    application has been imported, which declares some of it: nothing is pruned before.
    `is_own` returns True for the id of a worker of this master. The master reaps such a
    worker and reclaims its job when the processes of the job are dead; pruning skips
    it, even if it is dead and not reaped yet.
    """

    def __init__(
        self,
        registry: Registry,
        owner: str,
        log: Logger,
        *,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._registry = registry
        self._owner = owner
        self._timings = timings
        self._log = log
        self.deaths: Callable[[], DeathRules] = DeathRules
        self.knows_deaths: Callable[[], bool] = lambda: True
        self.is_own: Callable[[str], bool] = lambda _: False
        self._dead: list[DeadWorker] = []
        self._round: Iterator[None] | None = None
        self._prune_at = 0.0
        self._redis = RedisAvailability(log)

    @property
    def is_busy(self) -> bool:
        """Whether a dead worker of this master is still to be reclaimed."""
        return bool(self._dead)

    def is_reclaiming(self, worker_id: str) -> bool:
        """Return True for a worker that has died and is still to be reclaimed."""
        return any(dead.worker_id == worker_id for dead in self._dead)

    def receive(self, dead: DeadWorker) -> None:
        """Add a dead worker to those that must be reclaimed."""
        self._dead.append(dead)

    def prune_soon(self) -> None:
        """Make the next turn prune the registry."""
        self._prune_at = 0.0

    def due(self, now: float) -> float:
        """Return when `turn` has something to do."""
        if self._dead or self._round is not None:
            waits = any(d.processes is not None for d in self._dead)
            wait = self._timings.kill_recheck if waits else 0.0
            return max(self._redis.ready_at, now + wait)
        if not self.knows_deaths():
            return NEVER  # the report of the zygote wakes the master
        return max(self._prune_at, self._redis.ready_at)

    def turn(self, now: float) -> None:
        """Reclaim this master's dead workers, and prune one page of the registry."""
        if now < self._redis.ready_at:
            return
        try:
            self._reclaim_dead()
            self._advance_prune(now)
            self._redis.end(self._registry.check_writes)
        except StoreError as error:
            self._registry.link.close()
            self._round = None
            self._redis.begin(error, now)

    def _reclaim_dead(self) -> None:
        for dead in list(self._dead):
            if dead.processes is not None and dead.processes.has_members():
                dead.processes.kill()
                continue
            if self._reclaim(dead):
                self._dead.remove(dead)

    def _reclaim(self, dead: DeadWorker) -> bool:
        """Reclaim a worker; return False if its entry has changed meanwhile."""
        (entry,) = self._registry.read([dead.worker_id])
        if entry.identity != dead.identity:
            return True  # it has unregistered, or another worker has its id
        job = job_of(entry)
        error = f"Worker {dead.worker_id} died of {dead.how} while processing {job}"
        (result,) = self._registry.reclaim(
            [(entry, FailureInfo(DIRTY_EXIT, error))], self.deaths()
        )
        if result.is_done:
            self._log.info("worker_reclaimed", worker=dead.worker_id, job=job)
        if result is ReclaimResult.QUARANTINED:
            self._log.error("job_quarantined", worker=dead.worker_id, job_class=job)
        return result is not ReclaimResult.CHANGED

    def _advance_prune(self, now: float) -> None:
        if self._round is None and now >= self._prune_at:
            if not self.knows_deaths():
                return
            wait = self._timings.prune_interval * random.uniform(0.9, 1.1)
            self._prune_at = now + wait
            if self._registry.is_being_pruned(self._owner):
                # Ruby writes in several steps, so one job could be recorded twice.
                self._prune_at = now + OTHER_PRUNES
                return
            self._round = self._prune()
        if self._round is not None and next(self._round, self) is self:
            self._round = None

    def _prune(self) -> Iterator[None]:
        """Prune the dead workers of the whole registry, a page at each step."""
        lock = pruning.PruneLock(self._registry, self._owner)
        for page in pruning.survey(self._registry, self._is_ours):
            dead = pruning.to_prune(page, lock.take)
            for judged in pruning.reclaim(self._registry, dead, self.deaths()):
                self._log.warning(
                    "worker_pruned",
                    worker=judged.entry.worker_id,
                    error=pruning.fault_of(judged).error,
                )
                if judged.is_quarantined:
                    self._log.error(
                        "job_quarantined",
                        worker=judged.entry.worker_id,
                        job_class=job_of(judged.entry),
                    )
            yield
        lock.release()
        yield from self._restore_lists()

    def _restore_lists(self) -> Iterator[None]:
        """Put back the entries of bulk operations whose processes have died."""
        for name in bulk.recover(self._registry.link, self._registry.keys):
            self._log.warning("bulk_restored", list=name)
            yield

    def _is_ours(self, worker_id: str) -> bool:
        """Return True for a worker that this master reclaims itself."""
        return self.is_reclaiming(worker_id) or self.is_own(worker_id)
