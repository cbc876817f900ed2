"""Enforcement of the limits of jobs, and detection of workers without progress.

Runs in the master, which no job can stop. It measures a job more often the nearer
the job may be to a limit. It orders the worker to end a job that exceeds a limit, and
kills the job itself if the worker does not. core.limits decides what a limit means.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from signal import SIGKILL

from msgspec import Struct

from resqued.config.settings import AppSettings
from resqued.core.durations import show_seconds, show_size
from resqued.core.limits import (
    UNSET,
    Cause,
    Limits,
    exceeds_runtime,
    is_excessive,
    judge,
    look_again,
)
from resqued.core.supervised_worker import step_limit
from resqued.core.timings import NEVER, Timings
from resqued.ipc.messages import SPOILER, EndJob, JobInChild
from resqued.ipc.scoreboard import SPOILT, Phase, StepRecord
from resqued.log.logger import Logger
from resqued.master.generations import GenerationManager
from resqued.master.usage import SMALL, ProcessTable, ProcessTree
from resqued.master.worker_handle import WorkerHandle
from resqued.system import process
from resqued.system.signals import STACK_SIGNAL

_SPOILT = "the job wrote on the scoreboard of its worker, which is shared memory"
# The share of the master's time for measuring one job that is being ended.
GRACE_SHARE = 1 / 4


class MonitoredJob(Struct):
    """One running job."""

    worker: WorkerHandle
    status: StepRecord
    tree: ProcessTree
    limits: Limits = UNSET
    # Whether the child has written the limits on the scoreboard; else they may change.
    are_known: bool = False
    look_at: float = 0.0
    memory: int = 0
    peak: int = 0
    is_suspected: bool = False
    ended_at: float | None = None
    # The smallest number of processes below the worker since then, and its time.
    fewest: float = math.inf
    died_at: float = 0.0


class LimitEnforcer:
    """Enforces the limits of all running jobs, and kills workers without progress."""

    def __init__(
        self,
        generations: GenerationManager,
        workers: Callable[[], Collection[WorkerHandle]],
        log: Logger,
    ) -> None:
        self._generations = generations
        self._workers = workers
        self._log = log
        # By generation: configurations differ, and workers outlive their generation.
        self._settings: dict[int, AppSettings] = {}
        # The smallest memory limit that a payload has asked for so far, in bytes.
        self._least_asked = 0
        self._jobs: dict[int, MonitoredJob] = {}
        self._process_table = ProcessTable()
        self._look_at = 0.0
        self._inspect_at = 0.0
        self._pending_kills: dict[WorkerHandle, float] = {}
        # Workers whose child is dead, and when that was noticed first.
        self._childless: dict[tuple[WorkerHandle, StepRecord], float] = {}

    @property
    def _timings(self) -> Timings:
        return self._generations.current.config.app.timings

    def _settings_of(self, worker: WorkerHandle) -> AppSettings:
        current = self._generations.current.config.app
        return self._settings.get(worker.generation, current)

    def turn(self, now: float) -> None:
        """Inspect workers, kill stuck ones, and measure jobs, each when it is due."""
        for generation in self._generations.all():
            self._settings[generation.number] = generation.config.app
        workers = self._workers()
        if now >= self._inspect_at:
            self._inspect_at = now + self._timings.inspection_interval
            self._inspect(now, workers)
        self._kill_pending(now)
        if now >= self._look_at:
            self._look(now, workers)

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        due = min(self._inspect_at, *self._pending_kills.values(), NEVER)
        is_any_busy = any(not worker.is_idle for worker in self._workers())
        return min(due, self._look_at) if is_any_busy or self._jobs else due

    # Jobs

    def _look(self, now: float, workers: Collection[WorkerHandle]) -> None:
        """Find the running jobs, and measure those that are due."""
        jobs: dict[int, MonitoredJob] = {}
        for worker in workers:
            if worker.pid is None or worker.is_idle:
                continue
            job = self._job_of(worker, self._jobs.get(worker.pid), now)
            if job is not None:
                jobs[worker.pid] = job
        self._jobs = jobs
        due = [job for job in jobs.values() if now >= job.look_at]
        # Run times cost nothing to check. Measuring memory takes time, the more the
        # more processes a job has, so all run times are checked first.
        in_time = [job for job in due if not self._is_overdue(job, now)]
        for job in in_time:
            self._sample(job, now)
        soonest = min((job.look_at for job in jobs.values()), default=NEVER)
        self._look_at = min(now + self._first_look(workers), soonest)

    def _first_look(self, workers: Collection[WorkerHandle]) -> float:
        """Return after how many seconds a job that begins now is measured."""
        least = Limits(None, self._least_memory(workers))
        first = look_again(least, elapsed=0, memory=0)
        return min(self._timings.sample_interval, first)

    def next_look(self, now: float) -> float:
        """Return when to find jobs again; not at once, if a worker was just woken."""
        due = self.due(now)
        if due <= now and due == self._look_at and not self._jobs:
            self._look_at = now + self._first_look(self._workers())
            due = self.due(now)
        return due

    def _least_memory(self, workers: Collection[WorkerHandle]) -> int:
        """Return the smallest known memory limit of any job, in bytes; 0 if none."""
        every = [self._generations.current.least_memory, self._least_asked]
        every += [worker.limits.memory or 0 for worker in workers]
        for worker in {worker.generation: worker for worker in workers}.values():
            every += self._settings_of(worker).rules.memory
        return min((memory for memory in every if memory), default=0)

    def _job_of(
        self, worker: WorkerHandle, last: MonitoredJob | None, now: float
    ) -> MonitoredJob | None:
        """Return the job that a worker runs, or None; `last` is its last known job."""
        status = worker.scoreboard.read()
        if status.phase is not Phase.RUNNING:
            return None
        if last is not None and last.status == status:
            return last
        status = worker.status()
        is_new = last is None or (
            status.child != last.status.child
            or self._settings_of(worker).jobs_per_child > 1
        )
        if status != SPOILT and is_new:
            return self._begin(worker, status)
        self._end_spoiler(worker, now)
        # The first reading of the scoreboard applies as long as that job exists.
        return last if last is not None and last.tree.exists() else None

    def _end_spoiler(self, worker: WorkerHandle, now: float) -> None:
        """Order the worker to end the job that has written on its scoreboard.

        Only the worker knows which job that is, and whether it still exists.
        """
        if now - worker.spoiler_at >= self._timings.sample_interval:
            worker.spoiler_at = now
            worker.send(EndJob(_SPOILT, job=SPOILER))

    def _begin(self, worker: WorkerHandle, status: StepRecord) -> MonitoredJob | None:
        tree = ProcessTree.of(status.child, self._process_table)
        return None if tree is None else MonitoredJob(worker, status, tree)

    def _is_overdue(self, job: MonitoredJob, now: float) -> bool:
        """Order the end of a job that exceeds its run time; return True if so."""
        job.limits = self._limits_of(job)
        elapsed = max(0.0, now - job.status.since)
        if job.ended_at is not None or not exceeds_runtime(job.limits, elapsed):
            return False
        self._end(job, Cause.RUNTIME, elapsed, now)
        return True

    def _sample(self, job: MonitoredJob, now: float) -> None:
        """Measure the memory of a job, and order its end if it exceeds a limit."""
        limits, elapsed = job.limits, max(0.0, now - job.status.since)
        began = time.monotonic()
        if limits.memory:
            job.memory, is_exact = job.tree.memory(limits.memory)
            job.peak = max(job.peak, job.memory if is_exact else 0)
        took = time.monotonic() - began
        cause = judge(limits, elapsed=elapsed, memory=job.memory)
        if job.ended_at is not None:
            self._see_to_the_end(job, now)
            # A job with many processes must not take the time of other jobs.
            job.look_at = max(job.look_at, now + took / GRACE_SHARE)
        elif cause is Cause.MEMORY and self._is_to_be_confirmed(job):
            job.is_suspected = True
            job.look_at = now + self._timings.confirm_delay
        elif cause is not None:
            self._end(job, cause, elapsed, now)
        else:
            job.is_suspected = False
            job.look_at = now + look_again(limits, elapsed=elapsed, memory=job.memory)

    def _limits_of(self, job: MonitoredJob) -> Limits:
        """Return the limits of a job; those that the child wrote are never widened."""
        said = job.worker.scoreboard.limits_of(job.status.child)
        if said is None:
            if job.are_known:
                return job.limits
            # The child has not decoded its job yet; the limits of the pool are known.
            rules = self._settings_of(job.worker).rules
            return job.worker.limits.with_fallback(rules.default)
        if said.memory:
            self._least_asked = min(self._least_asked or said.memory, said.memory)
        if job.are_known and said == job.limits:
            return said
        limits = job.limits.tightened(said) if job.are_known else said
        job.are_known = True
        return limits

    def _is_to_be_confirmed(self, job: MonitoredJob) -> bool:
        return job.tree.size > 1 and not job.is_suspected

    def _end(self, job: MonitoredJob, cause: Cause, elapsed: float, now: float) -> None:
        """Order the worker to end a job; the text becomes the error of its failure."""
        job.ended_at = now
        job.look_at = now + self._timings.grace_sample_interval
        is_small = job.tree.is_small()
        if is_small:
            job.peak = max(job.peak, job.tree.peak())
        text = describe(cause, job, elapsed, is_small=is_small)
        self._log.warning("limit_exceeded", worker=job.worker.name, error=text)
        status = job.status
        running = JobInChild(status.child, status.since)
        job.worker.send(EndJob(text, cause, running))

    def _see_to_the_end(self, job: MonitoredJob, now: float) -> None:
        """Kill a job that grows further during its grace period, or outlives it."""
        assert job.ended_at is not None, "asked of a job that is being ended"
        late = now - job.ended_at - self._settings_of(job.worker).grace
        timings = self._timings
        job.look_at = now + (
            timings.grace_sample_interval
            if job.limits.memory
            else timings.sample_interval
        )
        if is_excessive(job.limits, job.memory) or late > timings.worker_patience:
            job.tree.kill()
        if late > timings.worker_patience and job.worker.pid is not None:
            self._see_whether_they_die(job, job.worker.pid, now)

    def _see_whether_they_die(self, job: MonitoredJob, worker: int, now: float) -> None:
        """Kill a worker that does not end its job, because it is stopped or stuck.

        A worker that is still killing thousands of processes is neither, so the number
        of processes must not have decreased for `kill_patience` seconds. With so many
        processes the table may be older than that: the time when it was read counts.
        """
        left, at = len(self._process_table.descendants(worker)), self._process_table.at
        if left < job.fewest:
            job.fewest, job.died_at = left, now
        elif at > job.died_at + self._timings.kill_patience:
            job.died_at = now
            self._log.error("worker_stuck", worker=job.worker.name, phase="running")
            process.send(worker, SIGKILL)

    # Workers

    def _inspect(self, now: float, workers: Iterable[WorkerHandle]) -> None:
        """Check that every worker makes progress; kill one that does not."""
        bereft, self._childless = self._childless, {}
        for worker in workers:
            settings = self._settings_of(worker)
            heartbeat, timeout = settings.heartbeat, settings.redis_timeout
            is_stuck = worker.is_stuck(
                now, heartbeat=heartbeat, redis_timeout=timeout, timings=self._timings
            )
            status = worker.scoreboard.read()
            if status == SPOILT:
                self._end_spoiler(worker, now)
            if status.phase is Phase.RUNNING and not process.start_time(status.child):
                # The child is dead, and the worker has not noticed it.
                since = bereft.get((worker, status), now)
                self._childless[worker, status] = since
                limit = step_limit(timeout, self._timings) + settings.grace
                is_stuck = now - since > limit
            if is_stuck and worker not in self._pending_kills:
                self._dump_then_kill(worker, now)

    def _dump_then_kill(self, worker: WorkerHandle, now: float) -> None:
        """Make a stuck worker write its stack; it is killed shortly after that."""
        if worker.pid is None:
            self._log.error("worker_stuck", worker=worker.name)
            worker.channel.close()
            return
        worker.scoreboard.clear_stack()
        process.send(worker.pid, STACK_SIGNAL)
        self._pending_kills[worker] = now + self._timings.worker_stack_time

    def _kill_pending(self, now: float) -> None:
        for worker, kill_at in list(self._pending_kills.items()):
            if now >= kill_at:
                del self._pending_kills[worker]
                self._kill(worker)

    def _kill(self, worker: WorkerHandle) -> None:
        if worker.is_gone:
            return
        self._log.error(
            "worker_stuck",
            worker=worker.name,
            phase=worker.scoreboard.read().phase.name.lower(),
            stack="\n".join(worker.scoreboard.stack()),
        )
        if worker.pid is not None:
            process.send(worker.pid, SIGKILL)

    def usage_of(self, worker: WorkerHandle) -> tuple[float, int]:
        """Return CPU seconds and private bytes of the job that a worker runs."""
        child = worker.scoreboard.read().child
        tree = ProcessTree.of(child, self._process_table)
        if tree is None:
            return 0.0, 0
        memory = tree.private()
        return tree.cpu() - worker.scoreboard.used_before(child), memory


def describe(cause: Cause, job: MonitoredJob, elapsed: float, *, is_small: bool) -> str:
    """Return which limit was exceeded, by how much, and what the job had used.

    The use of a job with many processes is not measured, so as not to delay its end.
    """
    used = f"not measured: it had more than {SMALL} processes"
    if is_small:
        cpu = job.tree.cpu() - job.worker.scoreboard.used_before(job.status.child)
        used = f"CPU {show_seconds(cpu)}, peak memory {show_size(job.peak)}"
    if cause is Cause.RUNTIME:
        limit = show_seconds(job.limits.runtime or 0)
        return (
            f"runtime limit of {limit} exceeded after {show_seconds(elapsed)}; {used}"
        )
    processes = f"{job.tree.size} process{'' if job.tree.size == 1 else 'es'}"
    return (
        f"memory limit of {show_size(job.limits.memory or 0)} exceeded:"
        f" {show_size(job.memory)} of private memory in {processes},"
        f" after {show_seconds(elapsed)}; {used}"
    )
