"""The move of a pool from one generation to the next, slot by slot.

Runs in the master. The new worker of a slot registers and waits. Then the old worker
is ordered to quit, and when it takes no more jobs the new one begins. So the number of
workers that take jobs is never above the wanted number, and at most one below it. The
first worker of a new generation is the canary. No other slot moves until it has run
for a short time and, if `canary_jobs` is set, has done that many jobs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from resqued.core import pool_diff
from resqued.core.pool_diff import Trial
from resqued.core.pool_key import PoolKey
from resqued.core.timings import NEVER, Timings
from resqued.ipc.messages import Resume
from resqued.ipc.scoreboard import RunCounts
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.master.generations import GenerationManager
from resqued.master.namespace_parts import ServedNamespaces
from resqued.master.slot import Slot
from resqued.master.worker_handle import WorkerHandle


class SlotTarget(NamedTuple):
    """The generation and pool that the worker of a slot must have."""

    generation: Generation
    pool: PoolKey

    def is_met_by(self, worker: WorkerHandle) -> bool:
        """Return True if a worker has this generation and pool."""
        is_of_it = worker.generation == self.generation.number
        return is_of_it and worker.pool == self.pool


class Rollout:
    """Moves the slots of a pool.

    `slots` and `retiring` are the lists of the pool, which this class changes.
    `spawned` is called with each worker that the rollout orders. The pool sets
    `namespaces`.
    """

    namespaces: ServedNamespaces

    def __init__(
        self,
        slots: list[Slot],
        retiring: list[WorkerHandle],
        generations: GenerationManager,
        spawned: Callable[[WorkerHandle], None],
        log: Logger,
    ) -> None:
        self._slots = slots
        self._retiring = retiring
        self._generations = generations
        self._spawned = spawned
        self._log = log
        self._moving_to = generations.current
        self._moving: Slot | None = None
        self._canary: Slot | None = None
        # The job counts of earlier workers of the canary slot.
        self._tally = RunCounts()

    @property
    def _timings(self) -> Timings:
        return self._generations.current.config.app.timings

    def turn(self, now: float, *, is_paused: bool) -> None:
        """Take the next step of the move, if one is due."""
        if self._generations.current is not self._moving_to:
            self._begin()
        if self._generations.is_on_trial:
            self._try_out(now)
        if self._moving is not None:
            self._move_on(self._moving, now, is_paused=is_paused)
        elif self._generations.current.is_ready:
            self._move_next(now)

    def _begin(self) -> None:
        """Begin the move to another generation: no slot backs off any longer."""
        self._moving_to = self._generations.current
        self._canary, self._tally = None, RunCounts()
        for slot in self._slots:
            slot.backoff = slot.backoff.succeeded()

    def target(self, slot: Slot) -> SlotTarget:
        """Return the generation and pool that a slot must have now."""
        current = self._generations.current
        if self._generations.is_on_trial and slot is self._canary:
            # The canary serves a pool of the new configuration.
            is_kept = slot.pool in current.pools
            return SlotTarget(
                current, slot.pool if is_kept else next(iter(current.pools))
            )
        return SlotTarget(self._generations.incumbent, slot.pool)

    def spawn(self, slot: Slot, now: float, *, is_paused: bool) -> WorkerHandle | None:
        """Order a worker for a slot and return it; None if the slot must wait."""
        generation, pool = self.target(slot)
        error = ""
        try:
            paused = self.namespaces.paused_queues(pool.namespace)
            worker = generation.spawn(pool, is_paused=is_paused, paused=paused)
        except OSError as problem:
            worker, error = None, f"{problem.strerror} (in the master)"
        if worker is None:
            slot.backoff = slot.backoff.failed(now, random.random())
        else:
            self._spawned(worker)
        # Log an error once, not for each slot and at each attempt.
        if error and all(error != each.error for each in self._slots):
            self._log.error("worker_not_spawned", queues=pool.queues, reason=error)
        slot.error = error
        return worker

    def drop_slot(self, slot: Slot) -> None:
        """Forget a slot that was removed from the pool."""
        self._moving = None if slot is self._moving else self._moving
        self._canary = None if slot is self._canary else self._canary

    def due(self, now: float) -> float:
        """Return when `turn` has something to do, if no message arrives."""
        if self._moving is not None:
            old = self._moving.worker
            left_at = None if old is None else old.left_at
            return NEVER if left_at is None else left_at + self._timings.yield_patience
        if not self._generations.current.is_ready:
            return NEVER
        if self._canary is not None and self._generations.is_on_trial:
            tried = self._canary.worker
            if tried is not None and not self._is_stale(self._canary):
                return self._look_at(tried, now)
        return min((slot.backoff.ready_at for slot in self._stale()), default=NEVER)

    # Moving

    def _is_stale(self, slot: Slot) -> bool:
        worker = slot.worker
        return worker is not None and not self.target(slot).is_met_by(worker)

    def _stale(self) -> list[Slot]:
        """Return the slots that must move; during a trial only the canary."""
        is_on_trial = self._generations.is_on_trial
        candidates = [self._canary] if is_on_trial and self._canary else self._slots
        return [slot for slot in candidates if self._is_stale(slot)]

    def _within_reach(self, slots: list[Slot]) -> list[Slot]:
        """Return the slots whose namespaces can be used."""
        return [
            slot for slot in slots if not self.namespaces.is_away(slot.pool.namespace)
        ]

    def _move_next(self, now: float) -> None:
        if self._generations.is_on_trial and self._canary is None:
            self._choose_canary()
        stale = self._stale()
        ready = [slot for slot in stale if now >= slot.backoff.ready_at]
        if ready:
            slot = _first(self._within_reach(ready) or ready)
            # The successor stays paused until the old worker takes no more jobs.
            slot.successor = self.spawn(slot, now, is_paused=True)
            self._moving = slot if slot.successor else None
        elif not stale and not self._generations.is_on_trial:
            are_ready = all(slot.is_done or slot.is_ready() for slot in self._slots)
            if self._generations.is_moving and are_ready:
                self._generations.settle()

    def _move_on(self, slot: Slot, now: float, *, is_paused: bool) -> None:
        successor, old = slot.successor, slot.worker
        if successor is None:
            self._moving = None
            return
        if not self.target(slot).is_met_by(successor):
            self._abort_move(slot, now)
            return
        if not successor.is_registered:
            # An outage of its namespace must not hold up the slots of the others.
            is_away = self.namespaces.is_away(slot.pool.namespace)
            if is_away and self._within_reach(self._stale()):
                self._abort_move(slot, now)
            return
        if old is not None:
            old.retire(now)
            waited = now - (old.left_at or now)
            if not (old.has_yielded or waited >= self._timings.yield_patience):
                return
            self._retiring.append(old)
        slot.worker, slot.successor, self._moving = successor, None, None
        if not is_paused:
            # The worker reports that it is idle again when it has looked at its queues.
            successor.is_idle = False
            successor.send(Resume())

    def _abort_move(self, slot: Slot, now: float) -> None:
        """End the move of a slot; its worker stays, unless it was ordered to quit."""
        leaving = [slot.successor]
        slot.successor = self._moving = None
        if slot.worker is not None and slot.worker.left_at is not None:
            leaving.append(slot.worker)
            slot.worker = None
        for worker in filter(None, leaving):
            worker.retire(now)
            self._retiring.append(worker)

    # The canary

    def _choose_canary(self) -> None:
        """Choose the slot for the first worker of a new generation."""
        pools = self._generations.current.pools
        slots = [slot for slot in self._slots if not slot.is_done]
        if not slots:
            self._generations.pass_trial()
            return
        kept = [slot for slot in slots if slot.pool in pools]
        # Prefer a slot that has moved to an earlier new generation: it moves anyway.
        stray = [slot for slot in kept or slots if self._is_stale(slot)]
        likely = stray or kept or slots
        self._canary = _first(self._within_reach(likely) or likely)
        # The worker of the first slot is woken first, so the canary gets jobs even
        # where jobs are few.
        self._slots.remove(self._canary)
        self._slots.insert(0, self._canary)

    def _try_out(self, now: float) -> None:
        """Judge the canary, and end the trial if there is a verdict."""
        canary, generations = self._canary, self._generations
        if canary is None or canary.worker is None or self._is_stale(canary):
            return
        tally = _sum([self._tally, canary.worker.scoreboard.run_counts()])
        trial = self._judge(tally)
        if trial is Trial.WORSE:
            generations.roll_back(
                f"of {tally.done} jobs of the canary {tally.failed} failed"
            )
        elif trial is Trial.PASSED and now >= self._watched_until():
            if generations.current.config.canary_jobs:
                self._log.info("canary_passed", jobs=tally.done, failed=tally.failed)
            generations.pass_trial()

    def _judge(self, tally: RunCounts) -> Trial:
        jobs = self._generations.current.config.canary_jobs
        if not jobs:
            return Trial.PASSED
        incumbent = self._generations.incumbent.number
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        others = _sum(
            w.scoreboard.run_counts() for w in workers if w.generation == incumbent
        )
        return pool_diff.judge_canary(
            jobs,
            done=tally.done,
            failed=tally.failed,
            others_done=others.done,
            others_failed=others.failed,
        )

    def _watched_until(self) -> float:
        """Return when the canary has run for long enough without a start failure."""
        since = self._generations.sound_since
        return NEVER if since is None else since + self._timings.start_window

    def _look_at(self, tried: WorkerHandle, now: float) -> float:
        """Return when to judge the worker of the canary again."""
        if self._generations.current.config.canary_jobs and not tried.is_idle:
            return now + self._timings.canary_interval
        until = self._watched_until()
        return until if until > now else NEVER

    def on_worker_exit(self, worker: WorkerHandle, *, is_good: bool) -> None:
        """Note the exit of a worker; its scoreboard can still be read."""
        if self._canary is not None and worker is self._canary.worker:
            # The job that the worker was running has failed.
            lost = RunCounts() if is_good else RunCounts(1, 1)
            self._tally = _sum([self._tally, worker.scoreboard.run_counts(), lost])


def _first(slots: list[Slot]) -> Slot:
    return slots[pool_diff.removal_order([slot.state() for slot in slots])[0]]


def _sum(tallies: Iterable[RunCounts]) -> RunCounts:
    every = list(tallies)
    return RunCounts(sum(t.done for t in every), sum(t.failed for t in every))
