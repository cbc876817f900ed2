"""From one generation to the next, slot by slot.

Runs in the master. The new worker registers and waits, the old one is told to quit,
and when it takes no more jobs the new one begins. So never more than the wanted
number take jobs, and never fewer than that minus one. The first worker of a new
generation, the canary, is alone until it has been there for a moment, and has done
so many jobs as are asked for; until then everything else is as it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from resqued.core import pool_diff
from resqued.core.pool_diff import Trial
from resqued.ipc.scoreboard import RunCounts
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.master.generations import GenerationManager
from resqued.master.slot import START_WINDOW, Slot, WorkerHandle

# A worker that was told to quit says so at once, unless it waits for Redis.
YIELD_TIME = 1.0
# The canary's counts are in shared memory: they wake nobody.
LOOK_AGAIN = 0.1


class SlotTarget(NamedTuple):
    """What the worker of a slot is to be."""

    generation: Generation
    queues: str

    def is_met_by(self, worker: WorkerHandle) -> bool:
        """Say whether a worker is just that."""
        is_of_it = worker.generation == self.generation.number
        return is_of_it and worker.queues == self.queues


class Rollout:
    """Moves the slots of a pool; the lists are the pool's own."""

    def __init__(
        self,
        slots: list[Slot],
        retiring: list[WorkerHandle],
        succession: GenerationManager,
        log: Logger,
    ) -> None:
        self._slots = slots
        self._retiring = retiring
        self._generations = succession
        self._log = log
        self._moving_to = succession.current
        self._moving: Slot | None = None
        self._canary: Slot | None = None
        # What workers of the canary have done that are gone.
        self._tally = RunCounts()

    def turn(self, now: float, *, is_paused: bool) -> None:
        """Take the next step, if there is one to take."""
        if self._generations.current is not self._moving_to:
            self._begin()
        if self._generations.is_on_trial:
            self._try_out(now)
        if self._moving is not None:
            self._move_on(self._moving, now, is_paused=is_paused)
        elif self._generations.current.is_ready:
            self._move_next(now)

    def _begin(self) -> None:
        """Another generation is to have the slots: each may start afresh."""
        self._moving_to = self._generations.current
        self._canary, self._tally = None, RunCounts()
        for slot in self._slots:
            slot.backoff = slot.backoff.succeeded()

    def target(self, slot: Slot) -> SlotTarget:
        """Return what a slot is to have now."""
        current = self._generations.current
        if self._generations.is_on_trial and slot is self._canary:
            # A list that the new configuration has no more is not for the canary.
            is_kept = slot.queues in current.pools
            return SlotTarget(
                current, slot.queues if is_kept else next(iter(current.pools))
            )
        return SlotTarget(self._generations.incumbent, slot.queues)

    def spawn(self, slot: Slot, now: float, *, is_paused: bool) -> WorkerHandle | None:
        """Have a worker forked for a slot; None: not now, the slot waits."""
        generation, queues = self.target(slot)
        worker = generation.spawn(queues, is_paused=is_paused)
        if worker is None:
            slot.backoff = slot.backoff.failed(now, random.random())
        return worker

    def drop_slot(self, slot: Slot) -> None:
        """A slot is taken away."""
        self._moving = None if slot is self._moving else self._moving
        self._canary = None if slot is self._canary else self._canary

    def deadline(self, now: float) -> float | None:
        """Return when turn has something to do, if nothing is heard."""
        if self._moving is not None:
            old = self._moving.worker
            told_at = None if old is None else old.quit_at
            return None if told_at is None else told_at + YIELD_TIME
        if not self._generations.current.is_ready:
            return None
        if self._canary is not None and self._generations.is_on_trial:
            tried = self._canary.worker
            if tried is not None and not self._is_stale(self._canary):
                return self._look_at(tried, now)
        return min((slot.backoff.ready_at for slot in self._stale()), default=None)

    # Moving

    def _is_stale(self, slot: Slot) -> bool:
        worker = slot.worker
        return worker is not None and not self.target(slot).is_met_by(worker)

    def _stale(self) -> list[Slot]:
        """Return the slots that are to be moved: on trial, the canary alone."""
        is_on_trial = self._generations.is_on_trial
        candidates = [self._canary] if is_on_trial and self._canary else self._slots
        return [slot for slot in candidates if self._is_stale(slot)]

    def _move_next(self, now: float) -> None:
        if self._generations.is_on_trial and self._canary is None:
            self._choose_canary()
        stale = self._stale()
        ready = [slot for slot in stale if now >= slot.backoff.ready_at]
        if ready:
            slot = _first(ready)
            # Held back until the one before it takes no more jobs.
            slot.successor = self.spawn(slot, now, is_paused=True)
            self._moving = slot if slot.successor else None
        elif not stale and not self._generations.is_on_trial:
            are_ready = all(slot.is_done or slot.is_ready() for slot in self._slots)
            if self._generations.is_rolling and are_ready:
                self._generations.settle()

    def _move_on(self, slot: Slot, now: float, *, is_paused: bool) -> None:
        successor, old = slot.successor, slot.worker
        if successor is None:
            self._moving = None
            return
        if not self.target(slot).is_met_by(successor):
            self._abort_move(slot, now)
            return
        if not successor.is_ready:
            return
        if old is not None:
            old.retire(now)
            waited = now - (old.quit_at or now)
            if not (old.has_yielded or waited >= YIELD_TIME):
                return
            self._retiring.append(old)
        slot.worker, slot.successor, self._moving = successor, None, None
        if not is_paused:
            # It says that it is idle once more, when it has looked.
            successor.is_idle = False
            successor.order("resume")

    def _abort_move(self, slot: Slot, now: float) -> None:
        """The slot was to go elsewhere: it keeps a worker that was not told to quit."""
        leaving = [slot.successor]
        slot.successor = self._moving = None
        if slot.worker is not None and slot.worker.quit_at is not None:
            leaving.append(slot.worker)
            slot.worker = None
        for worker in filter(None, leaving):
            worker.retire(now)
            self._retiring.append(worker)

    # The canary

    def _choose_canary(self) -> None:
        """Choose the slot for the first worker of a new generation."""
        lists = self._generations.current.pools
        slots = [slot for slot in self._slots if not slot.is_done]
        if not slots:
            self._generations.pass_trial()
            return
        kept = [slot for slot in slots if slot.queues in lists]
        # One that an earlier new generation has begun with is nobody's loss.
        stray = [slot for slot in kept or slots if self._is_stale(slot)]
        self._canary = _first(stray or kept or slots)
        # Whoever stands first is woken first: where jobs are few, it gets them.
        self._slots.remove(self._canary)
        self._slots.insert(0, self._canary)

    def _try_out(self, now: float) -> None:
        """See how the canary does."""
        canary, succession = self._canary, self._generations
        if canary is None or canary.worker is None or self._is_stale(canary):
            return
        tally = _sum([self._tally, canary.worker.scoreboard.run_counts()])
        trial = self._judge(tally)
        since = succession.sound_since
        if trial is Trial.WORSE:
            succession.roll_back(
                f"of {tally.done} jobs of the canary {tally.failed} failed"
            )
        elif (
            trial is Trial.PASSED and since is not None and now >= since + START_WINDOW
        ):
            if succession.current.config.canary_jobs:
                self._log.info("canary_passed", jobs=tally.done, failed=tally.failed)
            succession.pass_trial()

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

    def _look_at(self, tried: WorkerHandle, now: float) -> float | None:
        """Return when to look at the canary's worker again."""
        since = self._generations.sound_since
        grown = None if since is None else since + START_WINDOW
        if self._generations.current.config.canary_jobs and not tried.is_idle:
            return now + LOOK_AGAIN
        return grown if grown is not None and grown > now else None

    def died(self, worker: WorkerHandle, *, is_good: bool) -> None:
        """A worker is gone; its board can still be read."""
        if self._canary is not None and worker is self._canary.worker:
            # The job that it took with it has failed.
            lost = RunCounts() if is_good else RunCounts(1, 1)
            self._tally = _sum([self._tally, worker.scoreboard.run_counts(), lost])


def _first(slots: list[Slot]) -> Slot:
    return slots[pool_diff.removal_order([slot.state() for slot in slots])[0]]


def _sum(tallies: Iterable[RunCounts]) -> RunCounts:
    every = list(tallies)
    return RunCounts(sum(t.done for t in every), sum(t.failed for t in every))
