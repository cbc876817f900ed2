"""The pool: its slots, the workers in them, and their way to a new generation.

Runs in the master. Everything here converges: what runs is made equal to what is
wanted, a step at each turn, whatever happened since the last one. The way from one
generation to the next is the rollout's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from signal import SIGKILL
from typing import Any

from resqued.config.loader import Config
from resqued.core import pool_diff
from resqued.core.exit_status import Exit
from resqued.errors import ControlError
from resqued.ipc.channel import ChannelClosed
from resqued.ipc.scoreboard import Status
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.master.generations import GenerationManager
from resqued.master.reclaimer import DeadWorker, Reclaimer
from resqued.master.rollout import Rollout
from resqued.master.slot import Slot, WorkerHandle, is_start_failure
from resqued.system.process import Pid
from resqued.system.process_tree import JobProcesses


class Pool:
    """Every slot of a master."""

    def __init__(
        self,
        config: Config,
        directory: str,
        undertaker: Reclaimer,
        log: Logger,
        *,
        poll_now: Callable[[], None],
    ) -> None:
        self._undertaker = undertaker
        self._log = log
        self._poll_now = poll_now
        self.generations = GenerationManager(config, directory, log)
        self.slots: list[Slot] = []
        self.retiring: list[WorkerHandle] = []
        self.wanted: dict[str, int] = {}
        self._wanted_by: Generation | None = None
        # What people have asked for since the configuration was read.
        self._scaled: dict[str, int] = {}
        self.is_paused = False
        self.is_stopping = False
        self.was_ready = False
        self._rollout = Rollout(self.slots, self.retiring, self.generations, log)
        self._follow()

    # From one program of the master to the next

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; of a pool that is settled."""
        succession = self.generations
        return {
            "current": succession.current.as_dict(),
            "last": succession.last,
            "is_proven": succession.is_proven,
            "slots": [slot.as_dict() for slot in self.slots],
            "retiring": [worker.as_dict() for worker in self.retiring],
            "wanted": self.wanted,
            "is_paused": self.is_paused,
            "was_ready": self.was_ready,
        }

    def resume(self, values: Mapping[str, Any]) -> None:
        """Go on with the pool that as_dict told of, its descriptors still open."""
        self.generations.resume(
            Generation.from_dict(values["current"]),
            last=values["last"],
            is_proven=values["is_proven"],
        )
        self._wanted_by = self.generations.current
        self.wanted = dict(values["wanted"])
        self.slots += [Slot.from_dict(slot) for slot in values["slots"]]
        self.retiring += [WorkerHandle.from_dict(w) for w in values["retiring"]]
        self.is_paused, self.was_ready = values["is_paused"], values["was_ready"]

    @property
    def is_settled(self) -> bool:
        """Whether every worker is known, and none is on its way."""
        are_known = all(
            worker.pid is not None and worker.closed_at is None
            for worker in self.workers()
        )
        is_moving = any(slot.successor is not None for slot in self.slots)
        is_steady = self.generations.is_settled and not self.is_stopping
        return are_known and is_steady and not is_moving

    def workers(self) -> list[WorkerHandle]:
        """Return every worker, those included that only finish a job."""
        return [*(w for slot in self.slots for w in slot.workers()), *self.retiring]

    def serving(self) -> list[WorkerHandle]:
        """Return the workers that take jobs, or would if there were any."""
        return [slot.worker for slot in self.slots if slot.worker is not None]

    @property
    def is_done(self) -> bool:
        """Whether every slot has found its queues empty, in burst mode."""
        # A pool that was scaled to nothing waits for better days.
        return bool(self.slots) and all(slot.is_done for slot in self.slots)

    # What is wanted

    def _follow(self) -> None:
        """Want what is configured, or what people have asked for since."""
        incumbent = self.generations.incumbent
        if incumbent is not self._wanted_by:
            self._wanted_by = incumbent
            self.wanted = {
                name: self._scaled.get(name, workers)
                for name, workers in incumbent.pools.items()
            }

    def reload(self, config: Config, now: float) -> int:
        """Begin to move to a new generation; answer its number."""
        self._scaled.clear()
        return self.generations.begin(config, now)

    def list_named(self, name: object) -> str:
        """Return the queue list that is meant; the only one need not be named.

        Raises ControlError if there is none of that name, or more than one.
        """
        if name is None and len(self.wanted) == 1:
            return next(iter(self.wanted))
        if name in self.wanted:
            return str(name)
        lists = " and ".join(map(repr, self.wanted))
        if name is None:
            raise ControlError(f"which pool? name its queues: there are {lists}")
        raise ControlError(f"there is no pool on {name!r}; there is {lists}")

    def scale(self, name: str, workers: int) -> None:
        """Want another number of workers on a queue list that the pool has."""
        self.wanted[name] = self._scaled[name] = workers
        self._log.info("pool_scaled", queues=name, workers=workers)

    def pause(self, *, is_paused: bool) -> None:
        """Have all workers take no jobs, or take them again."""
        self.is_paused = is_paused
        held = {slot.successor for slot in self.slots}
        for worker in self.workers():
            if worker not in held:
                worker.order("pause" if is_paused else "resume")

    def reopen_log(self, path: str) -> None:
        """Have every worker, and every zygote, write to the log of that name."""
        for worker in self.workers():
            worker.order("reopen", path)
        for generation in self.generations.all():
            generation.reopen_log(path)

    def stop(self, order: str) -> None:
        """Have all workers leave; nobody takes their places."""
        if not self.is_stopping:
            self.is_stopping = True
            self.generations.abandon()
        for worker in self.workers():
            worker.order(order)

    # Making what runs equal what is wanted

    def converge(self, now: float) -> None:
        """Do the next steps."""
        self._drop_failed_spawns(now)
        if self.is_stopping:
            return
        self.generations.turn(now)
        self._follow()
        self._resize(now)
        self._rollout.turn(now, is_paused=self.is_paused)
        for slot in self.slots:
            if self._is_vacant(slot) and now >= slot.backoff.ready_at:
                slot.worker = self._rollout.spawn(slot, now, is_paused=self.is_paused)

    def _drop_failed_spawns(self, now: float) -> None:
        """See to workers that were hung up on because they never said who they are."""
        for worker in self.workers():
            if worker.pid is None and worker.channel.fileno() < 0:
                self.generations.spawn_failed(worker.generation)
                self._on_worker_exit(worker, Exit(1), now)

    def _is_vacant(self, slot: Slot) -> bool:
        is_empty = not slot.workers() and not slot.is_done
        return is_empty and self._rollout.target(slot).generation.is_ready

    def _resize(self, now: float) -> None:
        """Have as many slots for each queue list as are wanted."""
        change = pool_diff.diff(
            self.wanted, Counter(slot.queues for slot in self.slots)
        )
        missing = [name for name, count in change.add.items() for _ in range(count)]
        surplus = [
            slot for name, n in change.remove.items() for slot in self._of(name, n)
        ]
        # A slot that has another list from now on moves there, as it would to another
        # generation: nobody leaves before somebody is there to take over.
        for slot, name in zip(surplus, missing, strict=False):
            slot.reassign(name)
        for slot in surplus[len(missing) :]:
            self._remove(slot, now)
        self.slots += map(Slot, missing[len(surplus) :])
        if missing or surplus:
            self._poll_now()

    def _of(self, name: str, count: int) -> list[Slot]:
        """Return so many slots of a list, those first that are missed least."""
        slots = [slot for slot in self.slots if slot.queues == name]
        return [
            slots[n]
            for n in pool_diff.removal_order([slot.state() for slot in slots])[:count]
        ]

    def _remove(self, slot: Slot, now: float) -> None:
        for worker in slot.workers():
            worker.retire(now)
            self.retiring.append(worker)
        self.slots.remove(slot)
        self._rollout.drop_slot(slot)

    def deadline(self, now: float) -> float | None:
        """Return when converge has something to do, if nothing is heard."""
        if self.is_stopping:
            return None
        due = [s.backoff.ready_at for s in self.slots if self._is_vacant(s)]
        coming = self.generations.deadline()
        if coming is not None:
            due.append(coming)
        rollout = self._rollout.deadline(now)
        if rollout is not None:
            due.append(rollout)
        return min(due, default=None)

    # Zygotes and workers, as they report

    def descriptors(self) -> dict[int, Callable[[float], None]]:
        """Return what to wait on, and what to call then."""
        found: dict[int, Callable[[float], None]] = {}
        for generation in self.generations.all():
            if generation.channel is not None:
                found[generation.channel.fileno()] = self._hearing(generation.number)
        for worker in self.workers():
            if worker.channel.fileno() >= 0:
                found[worker.channel.fileno()] = self._listening(worker)
        return found

    def _hearing(self, number: int) -> Callable[[float], None]:
        return lambda now: self.hear_zygote(number, now)

    def _listening(self, worker: WorkerHandle) -> Callable[[float], None]:
        return lambda now: self._hear_worker(worker, now)

    def hear_zygote(self, number: int, now: float) -> None:
        """Take in what a zygote has said, if it is still one of ours."""
        for generation in self.generations.all():
            is_it = generation.number == number and generation.channel is not None
            if is_it:
                self.generations.hear(generation, now)

    def _hear_worker(self, worker: WorkerHandle, now: float) -> None:
        if worker.channel.fileno() < 0:
            return
        try:
            for kind, *values in worker.channel.messages():
                self._note(worker, kind, values, now)
        except ChannelClosed:
            if worker.pid is None:
                self._on_worker_exit(worker, Exit(1), now)
            else:
                # Its death follows; if it does not, somebody sees to it.
                worker.channel.close()
                worker.closed_at = now

    def _note(
        self, worker: WorkerHandle, kind: str, values: list[object], now: float
    ) -> None:
        match kind:
            case "hello":
                pid, worker.worker_id, worker.identity = values  # type: ignore[assignment]
                worker.pid = Pid(pid)  # type: ignore[arg-type]
                self._log.info(
                    "worker_spawned",
                    worker=worker.worker_id,
                    generation=worker.generation,
                )
            case "ready":
                worker.is_ready = True
                self.generations.worker_ready(worker.generation, now)
                self._see_ready()
            case "idle":
                worker.is_idle = True
                self._poll_now()
            case "taken":
                worker.is_taken = True
                self._undertaker.prune_soon()
            case "done":
                worker.is_done = True
            case "quits":
                worker.has_yielded = True

    def _see_ready(self) -> None:
        if not self.was_ready and all(s.is_done or s.is_ready() for s in self.slots):
            self.was_ready = True
            self._log.info("master_ready", workers=len(self.slots))

    def died(self, pid: Pid, how: Exit, now: float) -> None:
        """A child of the master has died: a zygote, a worker, or nobody we know."""
        for generation in self.generations.all():
            if pid == generation.pid:
                # What it said last, then that it is gone.
                self.hear_zygote(generation.number, now)
                if pid == generation.pid:
                    self.generations.lost(generation, now)
                return
        for worker in [worker for worker in self.workers() if worker.pid is None]:
            # It may have said who it is, and died before that was heard.
            self._hear_worker(worker, now)
        for worker in self.workers():
            if pid == worker.pid:
                self._on_worker_exit(worker, how, now)
                return

    def _on_worker_exit(self, worker: WorkerHandle, how: Exit, now: float) -> None:
        """A worker has died: settle its affairs, and see when to replace it."""
        status = worker.scoreboard.read()
        if worker.worker_id:
            self._undertaker.receive(
                DeadWorker(
                    worker.worker_id, worker.identity, how, self._leftovers(status)
                )
            )
        is_expected = worker.is_ready or worker.quit_at is not None or self.is_stopping
        is_good = how.code == 0 and not worker.is_taken and is_expected
        self._rollout.died(worker, is_good=is_good)
        slot = self._take_out(worker)
        worker.close()
        if is_good:
            self._log.info("worker_exited", worker=worker.worker_id)
            if slot is not None:
                slot.is_done = worker.is_done
            self._see_ready()
            return
        self._log.warning("worker_died", worker=worker.name, reason=str(how))
        if slot is None or self.is_stopping:
            return
        is_on_trial = self.generations.is_rolling
        if not is_start_failure(worker, status, how, now, is_on_trial=is_on_trial):
            slot.backoff = slot.backoff.succeeded()
            return
        slot.backoff = slot.backoff.failed(now, random.random())
        if not worker.is_taken:
            self.generations.worker_start_failed(worker.generation, str(how))

    def _take_out(self, worker: WorkerHandle) -> Slot | None:
        """Free the place of a worker; answer the slot that is in want of another."""
        if worker in self.retiring:
            self.retiring.remove(worker)
            return None
        slot = next(slot for slot in self.slots if worker in slot.workers())
        if worker is slot.successor:
            slot.successor = None
        else:
            slot.worker = None
        return slot

    def _leftovers(self, status: Status) -> JobProcesses | None:
        """Return what is left of a dead worker's job: its child, and its children."""
        if not status.child:
            return None
        processes = JobProcesses(
            status.child, excluded=self._excluded, since=status.began
        )
        processes.send(SIGKILL)
        return processes

    def _excluded(self) -> set[int] | None:
        """Return our workers and zygotes; None while one has not said its name."""
        pids = {worker.pid for worker in self.workers()}
        pids |= {g.pid for g in self.generations.all() if g.pid is not None}
        return None if None in pids else {pid for pid in pids if pid is not None}
