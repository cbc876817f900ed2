"""The pool: its slots and the workers in them.

Runs in the master. At each turn of the loop one step makes the running workers
equal to the wanted ones, whatever happened since the last turn. Rollout moves the
slots from one generation to the next.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from resqued.config.loader import Config
from resqued.core import pool_diff
from resqued.core.exit_status import Exit
from resqued.core.lifecycle import Stop
from resqued.core.pool_key import PoolKey
from resqued.core.supervised_worker import SupervisedState, is_good_exit
from resqued.core.timings import NEVER, Timings
from resqued.ipc import messages
from resqued.ipc.channel import ChannelClosed
from resqued.ipc.messages import EndJob, Leave, WorkerReport
from resqued.ipc.scoreboard import StepRecord
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.master.generations import GenerationManager
from resqued.master.handoff import DescriptorList, PoolRecord
from resqued.master.namespace_parts import ServedNamespaces
from resqued.master.reclaimer import DeadWorker
from resqued.master.rollout import Rollout
from resqued.master.slot import Slot
from resqued.master.wanted import WantedWorkers
from resqued.master.worker_handle import WorkerHandle
from resqued.system.poller import Poller
from resqued.system.process import Pid
from resqued.system.process_tree import JobProcesses

# Why a job was ended when the pool had to terminate.
TERMINATED = "its worker was told to terminate"


class Pool:
    """All slots of a master, and the namespaces that their workers serve."""

    def __init__(
        self,
        generations: GenerationManager,
        namespaces: ServedNamespaces,
        poller: Poller,
        log: Logger,
    ) -> None:
        self.namespaces = namespaces
        namespaces.workers, namespaces.serving = self.workers, self.serving
        self._poller = poller
        self._log = log
        self.generations = generations
        self.slots: list[Slot] = []
        self.retiring: list[WorkerHandle] = []
        self.wanted = WantedWorkers()
        self.is_paused = False
        self.is_stopping = False
        self.was_ready = False
        # The process that tries the next program of the master; see Reexec.
        self.dry_run: Pid | None = None
        self._rollout = Rollout(
            self.slots, self.retiring, generations, self._listen, log
        )
        self._rollout.namespaces = namespaces
        self._follow()

    # Replacement of the master's program

    def record(self, descriptors: DescriptorList) -> PoolRecord:
        """Return the record of a settled pool for the next program of the master."""
        generations = self.generations
        return PoolRecord(
            current=generations.current.record(descriptors),
            last=generations.last,
            state=generations.state,
            slots=[slot.record(descriptors) for slot in self.slots],
            retiring=[worker.record(descriptors) for worker in self.retiring],
            wanted=list(self.wanted.counts.items()),
            is_paused=self.is_paused,
            was_ready=self.was_ready,
        )

    def resume(self, record: PoolRecord) -> None:
        """Take over a recorded pool, whose descriptors are still open."""
        self.generations.resume(record)
        self.wanted.resume(self.generations.current.number, dict(record.wanted))
        self.slots += map(Slot.from_record, record.slots)
        self.retiring += map(WorkerHandle.from_record, record.retiring)
        self.is_paused, self.was_ready = record.is_paused, record.was_ready
        for worker in self.workers():
            self._listen(worker)

    @property
    def timings(self) -> Timings:
        """The durations of the current generation."""
        return self.generations.current.config.app.timings

    @property
    def is_settled(self) -> bool:
        """Whether every worker has reported its pid, and no slot is moving."""
        every = self.workers()
        are_known = all(w.pid is not None and w.closed_at is None for w in every)
        is_steady = self.generations.is_settled and not self.is_stopping
        return are_known and is_steady and not any(s.successor for s in self.slots)

    def workers(self) -> list[WorkerHandle]:
        """Return every worker, including those that only finish a job."""
        return [*(w for slot in self.slots for w in slot.workers()), *self.retiring]

    def serving(self) -> list[WorkerHandle]:
        """Return the workers that take jobs, busy or idle."""
        return [slot.worker for slot in self.slots if slot.worker is not None]

    @property
    def is_done(self) -> bool:
        """Whether, in burst mode, every slot has found its queues empty."""
        # A pool that was scaled to 0 workers is not done; it may be scaled up again.
        return bool(self.slots) and all(slot.is_done for slot in self.slots)

    # Requests

    def _follow(self) -> None:
        incumbent = self.generations.incumbent
        self.wanted.follow(incumbent.number, incumbent.pools)

    def reload(self, config: Config, now: float) -> int:
        """Begin to move to a new generation; return its number."""
        self.wanted.forget_scaling()
        return self.generations.begin(config, now)

    def scale(self, pool: PoolKey, workers: int) -> None:
        """Set the wanted number of workers of a pool of the configuration."""
        self.wanted.scale(pool, workers)
        self._log.info("pool_scaled", **pool._asdict(), workers=workers)

    def pause(self, *, is_paused: bool) -> None:
        """Order all workers to take no jobs, or to take jobs again."""
        self.is_paused = is_paused
        held = {slot.successor for slot in self.slots}
        for worker in self.workers():
            if worker not in held:
                worker.send(messages.Pause() if is_paused else messages.Resume())

    def end_jobs(self, reason: str) -> None:
        """Order every worker to end its running job and take the next one."""
        for worker in self.workers():
            worker.send(EndJob(reason))

    def reopen_log(self, path: str) -> None:
        """Order every worker and every zygote to reopen the log file at `path`."""
        for worker in self.workers():
            worker.send(messages.ReopenLog(path))
        for generation in self.generations.all():
            generation.reopen_log(path)

    def stop(self, how: Stop, reason: str = TERMINATED) -> None:
        """Order all workers to leave; jobs that are ended fail with `reason`."""
        if not self.is_stopping:
            self.is_stopping = True
            self.generations.abandon()
        for worker in self.workers():
            worker.send(Leave(how))
        if how is Stop.TERMINATE:
            self.end_jobs(reason)

    # A part of the master's loop

    def turn(self, now: float) -> None:
        """Take the steps that are due."""
        self._drop_failed_spawns(now)
        if self.is_stopping:
            return
        self.generations.turn(now)
        self._follow()
        self._see_ready()
        self._resize(now)
        self._rollout.turn(now, is_paused=self.is_paused)
        is_reclaiming = self.namespaces.is_reclaiming
        for slot in self.slots:
            if self._is_vacant(slot) and now >= slot.fill_at(is_reclaiming):
                slot.worker = self._rollout.spawn(slot, now, is_paused=self.is_paused)

    def due(self, now: float) -> float:
        """Return when `turn` has something to do, if no message arrives."""
        if self.is_stopping:
            return NEVER
        is_reclaiming = self.namespaces.is_reclaiming
        vacant = [s.fill_at(is_reclaiming) for s in self.slots if self._is_vacant(s)]
        return min(*vacant, self.generations.due(now), self._rollout.due(now))

    def _drop_failed_spawns(self, now: float) -> None:
        """Drop workers whose channel closed before they reported their pid."""
        for worker in self.workers():
            if worker.pid is None and worker.channel.fileno() < 0:
                self.generations.spawn_failed(worker.generation)
                self._on_worker_exit(worker, Exit(1), now)

    def _is_vacant(self, slot: Slot) -> bool:
        is_empty = not slot.workers() and not slot.is_done
        return is_empty and self._rollout.target(slot).generation.is_ready

    def _resize(self, now: float) -> None:
        """Add and remove slots until each pool has the wanted number."""
        have = Counter(slot.pool for slot in self.slots)
        change = pool_diff.diff(self.wanted.counts, have)
        missing = [pool for pool, count in change.add.items() for _ in range(count)]
        surplus = [
            slot
            for pool, n in change.remove.items()
            for slot in first_to_go(self.slots, pool, n)
        ]
        # A slot that gets another pool moves there as it would to another generation:
        # its worker leaves only when the successor is ready.
        for slot, pool in zip(surplus, missing, strict=False):
            slot.reassign(pool)
        for slot in surplus[len(missing) :]:
            self._remove(slot, now)
        self.slots += map(Slot, missing[len(surplus) :])
        if missing or surplus:
            self.namespaces.poll_now()

    def _remove(self, slot: Slot, now: float) -> None:
        for worker in slot.workers():
            worker.retire(now)
            self.retiring.append(worker)
        self.slots.remove(slot)
        self._rollout.drop_slot(slot)

    # Reports and exits of zygotes and workers

    def _listen(self, worker: WorkerHandle) -> None:
        """Register the channel of a worker with the poller."""
        worker.channel.before_close = self._poller.unregister
        hear = partial(self._hear_worker, worker)
        self._poller.register(worker.channel.fileno(), hear)

    def _hear_worker(self, worker: WorkerHandle, now: float) -> bool:
        """Act on reports; return True if they concern only the watcher of queues."""
        if worker.channel.fileno() < 0:
            return False
        try:
            for report in (reports := worker.channel.messages()):
                worker.take_in(report)
                self._react(worker, report, now)
            return all(type(each) is messages.Idle for each in reports)
        except ChannelClosed:
            if worker.pid is None:
                self._on_worker_exit(worker, Exit(1), now)
            else:
                # The worker exits next; if it does not, it is killed as stuck.
                worker.channel.close()
                worker.closed_at = now
            return False

    def _react(self, worker: WorkerHandle, report: WorkerReport, now: float) -> None:
        """Act on a report of a worker."""
        if isinstance(report, messages.Hello):
            self._log.info(
                "worker_spawned", worker=worker.worker_id, generation=worker.generation
            )
        elif isinstance(report, messages.Registered):
            self.generations.worker_ready(worker.generation, now)
            self._see_ready()
        elif isinstance(report, messages.Idle):
            self.namespaces.of(worker.pool.namespace).watcher.poll_now()
        elif isinstance(report, messages.IdTaken):
            self.namespaces.of(worker.pool.namespace).reclaimer.prune_soon()

    def _see_ready(self) -> None:
        is_away = self.namespaces.is_away
        if not self.was_ready and are_ready(self.slots, is_away):
            self.was_ready = True
            self._log.info("master_ready", workers=len(self.slots))

    def on_exit(self, pid: Pid, how: Exit, now: float) -> None:
        """Act on the exit of a child of the master: a zygote, a worker or another."""
        for generation in self.generations.all():
            if pid == generation.pid:
                # The last reports of the zygote are read before its exit is acted on.
                self.generations.hear_number(generation.number, now, how)
                if pid == generation.pid:
                    self.generations.on_zygote_exit(generation, now, how)
                return
        for worker in [worker for worker in self.workers() if worker.pid is None]:
            # The worker may have reported its pid before it died; read that report now.
            self._hear_worker(worker, now)
        for worker in self.workers():
            if pid == worker.pid:
                self._on_worker_exit(worker, how, now)
                return

    def _on_worker_exit(self, worker: WorkerHandle, how: Exit, now: float) -> None:
        """Act on the exit of a worker: reclaim its job, and plan its replacement."""
        if worker.worker_id:
            left = leftovers(worker.status(), self._excluded, self.timings)
            dead = DeadWorker(worker.worker_id, worker.identity, how, left)
            self.namespaces.of(worker.pool.namespace).reclaimer.receive(dead)
        is_good = is_good_exit(worker.state, how, is_stopping=self.is_stopping)
        self._rollout.on_worker_exit(worker, is_good=is_good)
        slot = self._take_out(worker)
        is_start_failure = worker.is_start_failure(
            how, now, is_on_trial=self.generations.is_moving, timings=self.timings
        )
        state = worker.state
        worker.close()
        if is_good:
            self._log.info("worker_exited", worker=worker.worker_id)
            if slot is not None:
                slot.is_done = state is SupervisedState.FINISHED
            self._see_ready()
            return
        self._log.warning("worker_died", worker=worker.name, reason=str(how))
        if slot is None or self.is_stopping:
            return
        slot.dead, slot.free_at = worker.worker_id, now + self.timings.reclaim_patience
        if not is_start_failure:
            slot.backoff = slot.backoff.succeeded()
            return
        slot.backoff = slot.backoff.failed(now, random.random())
        if state is not SupervisedState.REFUSED:
            self.generations.worker_start_failed(worker.generation, str(how))

    def _take_out(self, worker: WorkerHandle) -> Slot | None:
        """Remove a worker from its slot; return the slot if it needs another one."""
        if worker in self.retiring:
            self.retiring.remove(worker)
            return None
        slot = next(slot for slot in self.slots if worker in slot.workers())
        if worker is slot.successor:
            slot.successor = None
        else:
            slot.worker = None
        return slot

    def _excluded(self) -> set[int] | None:
        """Return the pids of the master's children; None while one is not known yet."""
        return children_of(self.workers(), self.generations.all(), self.dry_run)


def are_ready(slots: Sequence[Slot], is_away: Callable[[str], bool]) -> bool:
    """Return True if nothing but an outage of its namespace holds up any slot."""
    waiting = [slot for slot in slots if not (slot.is_done or slot.is_ready())]
    return bool(slots) and all(is_away(slot.pool.namespace) for slot in waiting)


def first_to_go(slots: Sequence[Slot], pool: PoolKey, count: int) -> list[Slot]:
    """Return `count` slots of a pool, in the order in which to remove them."""
    candidates = [slot for slot in slots if slot.pool == pool]
    order = pool_diff.removal_order([slot.state() for slot in candidates])
    return [candidates[n] for n in order[:count]]


def children_of(
    workers: Iterable[WorkerHandle], zygotes: Iterable[Generation], dry_run: int | None
) -> set[int] | None:
    """Return the pids of all children of the master that are no leftovers of a job.

    None while a worker has not said its pid.
    """
    pids = {worker.pid for worker in workers}
    others = {dry_run, *(generation.pid for generation in zygotes)}
    return None if None in pids else {pid for pid in pids | others if pid is not None}


def leftovers(
    status: StepRecord, excluded: Callable[[], set[int] | None], timings: Timings
) -> JobProcesses | None:
    """Kill and return the processes that are left of a dead worker's job, or None."""
    if not status.child:
        return None
    processes = JobProcesses(
        status.child,
        excluded=excluded,
        since=status.began,
        tracker_patience=timings.tracker_patience,
    )
    processes.kill()
    return processes
