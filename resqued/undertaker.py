"""Keeping the registry true: burying this master's dead workers, pruning others'.

Runs in the master, a page at a time, so that signals are never kept waiting. A
worker is buried when all of its job's processes are dead: a job that is reported
failed must not be still running.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from signal import SIGKILL

from structlog.typing import FilteringBoundLogger

from resqued import process
from resqued.core import payload
from resqued.core.backoff import Backoff
from resqued.core.outcome import Exit
from resqued.core.payload import DIRTY_EXIT, PRUNE_DIRTY_EXIT, Fault
from resqued.core.registry import Entry, Identity, Machine, Verdict, judge
from resqued.errors import PayloadError, StoreError
from resqued.family import Family
from resqued.store.registry import PAGE, Burial, Registry

# Longer than the lock lasts, or a lone master would find its own.
PRUNE_INTERVAL = 70.0
LOOK_AGAIN = 0.05


@dataclass(frozen=True, slots=True)
class Dead:
    """A worker of this master that has died, to be buried."""

    worker_id: str
    identity: str
    how: Exit
    family: Family | None


class Undertaker:
    """Buries and prunes, whenever Redis is there."""

    def __init__(
        self, registry: Registry, owner: str, log: FilteringBoundLogger
    ) -> None:
        self._registry = registry
        self._owner = owner
        self._log = log
        self._machine = Machine(process.boot_id(), process.pid_namespace())
        self._dead: list[Dead] = []
        self._round: Iterator[None] | None = None
        self._prune_at = 0.0
        self._redis = Backoff(first=0.1, cap=2.0)

    @property
    def is_busy(self) -> bool:
        """Whether a worker of this master is still to be buried."""
        return bool(self._dead)

    def receive(self, dead: Dead) -> None:
        """Take in a worker that has died."""
        self._dead.append(dead)

    def prune_soon(self) -> None:
        """Look through the registry now, not in a minute."""
        self._prune_at = 0.0

    def deadline(self, now: float) -> float:
        """Return when turn has something to do."""
        if self._dead or self._round is not None:
            waits = any(d.family is not None for d in self._dead)
            return max(self._redis.ready_at, now + (LOOK_AGAIN if waits else 0))
        return max(self._prune_at, self._redis.ready_at)

    def turn(self, now: float) -> None:
        """Do what is due, and no more than a page of it."""
        if now < self._redis.ready_at:
            return
        try:
            self._bury_dead()
            self._advance_prune(now)
        except StoreError as error:
            if not self._redis.failures:
                self._log.warning("redis_lost", error=str(error))
            self._registry.link.close()
            self._round = None
            self._redis = self._redis.failed(now, random.random())
        else:
            if self._redis.failures:
                self._log.info("redis_restored")
            self._redis = self._redis.succeeded()

    def _bury_dead(self) -> None:
        for dead in list(self._dead):
            if dead.family is not None and dead.family.has_members():
                dead.family.send(SIGKILL)
                continue
            if self._bury(dead):
                self._dead.remove(dead)

    def _bury(self, dead: Dead) -> bool:
        """Bury one of ours; False if it changed meanwhile, and is to be read again."""
        (entry,) = self._registry.read([dead.worker_id])
        if entry.identity != dead.identity:
            return True  # it had left in good order, or its id is somebody else's
        error = (
            f"Worker {dead.worker_id} died of {dead.how} while processing {_job(entry)}"
        )
        (burial,) = self._registry.bury([(entry, Fault(DIRTY_EXIT, error))])
        if burial is Burial.DONE:
            self._log.info("worker_buried", worker=dead.worker_id, job=_job(entry))
        return burial is not Burial.CHANGED

    def _advance_prune(self, now: float) -> None:
        if self._round is None and now >= self._prune_at:
            self._prune_at = now + PRUNE_INTERVAL * random.uniform(0.9, 1.1)
            self._round = self._prune()
        if self._round is not None and next(self._round, self) is self:
            self._round = None

    def _prune(self) -> Iterator[None]:
        """Bury the dead of the whole registry, a page at each step.

        Workers that died on this machine need no lock: there is no doubt about
        them. Silent ones are left to whoever holds the lock, Ruby or ours.
        """
        has_lock = self._registry.take_prune_lock(self._owner)
        server_now = self._registry.link.time()
        entries = self._registry.entries(with_remains=True)
        while page := list(islice(entries, PAGE)):
            judged = [(entry, self._judge(entry, server_now)) for entry in page]
            doomed = [
                (entry, _fault(entry, verdict))
                for entry, verdict in judged
                if verdict is Verdict.DEAD or (has_lock and verdict is Verdict.SILENT)
            ]
            if doomed:
                burials = self._registry.bury(doomed)
                for (entry, fault), burial in zip(doomed, burials, strict=True):
                    if burial is Burial.DONE:
                        self._log.warning(
                            "worker_pruned", worker=entry.worker_id, error=fault.error
                        )
            yield

    def _judge(self, entry: Entry, server_now: float) -> Verdict:
        identity = Identity.decode(entry.identity)
        start = None if identity is None else process.start_time(identity.pid)
        if any(dead.worker_id == entry.worker_id for dead in self._dead):
            return Verdict.ALIVE  # its turn comes, once its family is dead
        return judge(entry, now=server_now, machine=self._machine, start_of_pid=start)


def _fault(entry: Entry, verdict: Verdict) -> Fault:
    """Return the words of Ruby for both (wire format 2.2)."""
    if verdict is Verdict.DEAD:
        error = f"Worker {entry.worker_id} died while processing {_job(entry)}"
        return Fault(DIRTY_EXIT, error)
    return Fault(
        PRUNE_DIRTY_EXIT,
        f"Worker {entry.worker_id} did not gracefully exit"
        f" while processing {_job(entry)}",
    )


def _job(entry: Entry) -> str:
    if not entry.record:
        return "no job"
    try:
        return payload.class_of(payload.decode_held(entry.record).payload)
    except PayloadError:
        return payload.UNKNOWN_JOB
