"""Watching over what runs: limits of jobs, and workers that make no progress.

Runs in the master, which no job can stop. It samples a job the more often the nearer
that may be to a limit, has the worker end a job that is over, and does it itself if
the worker does not. What a limit means is decided in core.limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from signal import SIGKILL

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
# What part of the master's time may go into measuring a job that is being ended.
GRACE_SHARE = 1 / 4


@dataclass(slots=True)
class MonitoredJob:
    """One running job."""

    worker: WorkerHandle
    status: StepRecord
    tree: ProcessTree
    limits: Limits = UNSET
    # Whether the limits are those that the child has said; else they may change.
    are_known: bool = False
    look_at: float = 0.0
    memory: int = 0
    peak: int = 0
    is_suspected: bool = False
    ended_at: float | None = None
    # How few processes there were below the worker since, and from when on.
    fewest: float = math.inf
    died_at: float = 0.0


class LimitEnforcer:
    """Looks after every running job of a master, and workers that make no progress."""

    def __init__(
        self,
        generations: GenerationManager,
        workers: Callable[[], Collection[WorkerHandle]],
        log: Logger,
    ) -> None:
        self._generations = generations
        self._workers = workers
        self._log = log
        # Generations differ in what they are configured for, and workers outlive them.
        self._settings: dict[int, AppSettings] = {}
        # The least memory that a payload has asked for so far, in bytes.
        self._least_asked = 0
        self._jobs: dict[int, MonitoredJob] = {}
        self._process_table = ProcessTable()
        self._look_at = 0.0
        self._inspect_at = 0.0
        self._pending_kills: dict[WorkerHandle, float] = {}
        # Workers whose child is dead, and since when that is known.
        self._childless: dict[tuple[WorkerHandle, StepRecord], float] = {}

    @property
    def _timings(self) -> Timings:
        return self._generations.current.config.app.timings

    def _settings_of(self, worker: WorkerHandle) -> AppSettings:
        current = self._generations.current.config.app
        return self._settings.get(worker.generation, current)

    def turn(self, now: float) -> None:
        """Do what is due."""
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
        """Return when turn has something to do."""
        due = min(self._inspect_at, *self._pending_kills.values(), NEVER)
        is_any_busy = any(not worker.is_idle for worker in self._workers())
        return min(due, self._look_at) if is_any_busy or self._jobs else due

    # Jobs

    def _look(self, now: float, workers: Collection[WorkerHandle]) -> None:
        """See who runs what, and sample the jobs that are due."""
        jobs: dict[int, MonitoredJob] = {}
        for worker in workers:
            if worker.pid is None or worker.is_idle:
                continue
            job = self._job_of(worker, self._jobs.get(worker.pid), now)
            if job is not None:
                jobs[worker.pid] = job
        self._jobs = jobs
        due = [job for job in jobs.values() if now >= job.look_at]
        # Run times are known at no cost. To measure memory takes time, and the more
        # the more processes a job has: no order waits for that of another job.
        in_time = [job for job in due if not self._is_overdue(job, now)]
        for job in in_time:
            self._sample(job, now)
        least = Limits(None, self._least_memory(workers))
        first = look_again(least, elapsed=0, memory=0)
        interval = self._timings.sample_interval
        soonest = min((job.look_at for job in jobs.values()), default=now + interval)
        self._look_at = min(now + min(interval, first), soonest)

    def _least_memory(self, workers: Collection[WorkerHandle]) -> int:
        """Return the least that any job is limited to, as far as is known; or 0."""
        every = [self._generations.current.least_memory, self._least_asked]
        every += [worker.limits.memory or 0 for worker in workers]
        for worker in {worker.generation: worker for worker in workers}.values():
            every += self._settings_of(worker).rules.memory
        return min((memory for memory in every if memory), default=0)

    def _job_of(
        self, worker: WorkerHandle, last: MonitoredJob | None, now: float
    ) -> MonitoredJob | None:
        """Return the job that a worker runs; `last` is the one that it ran before."""
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
        # What was read first is what counts, while that job is there.
        return last if last is not None and last.tree.exists() else None

    def _end_spoiler(self, worker: WorkerHandle, now: float) -> None:
        """Have the worker end the job that has written on its scoreboard.

        It knows which job that is, and whether there is one.
        """
        if now - worker.spoiler_at >= self._timings.sample_interval:
            worker.spoiler_at = now
            worker.send(EndJob(_SPOILT, job=SPOILER))

    def _begin(self, worker: WorkerHandle, status: StepRecord) -> MonitoredJob | None:
        tree = ProcessTree.of(status.child, self._process_table)
        return None if tree is None else MonitoredJob(worker, status, tree)

    def _is_overdue(self, job: MonitoredJob, now: float) -> bool:
        """Have a job ended, and return True, if it exceeds its run time just now."""
        job.limits = self._limits_of(job)
        elapsed = max(0.0, now - job.status.since)
        if job.ended_at is not None or not exceeds_runtime(job.limits, elapsed):
            return False
        self._end(job, Cause.RUNTIME, elapsed, now)
        return True

    def _sample(self, job: MonitoredJob, now: float) -> None:
        """See how much memory a job has; act if it is beyond a limit."""
        limits, elapsed = job.limits, max(0.0, now - job.status.since)
        began = time.monotonic()
        if limits.memory:
            job.memory, is_exact = job.tree.memory(limits.memory)
            job.peak = max(job.peak, job.memory if is_exact else 0)
        took = time.monotonic() - began
        cause = judge(limits, elapsed=elapsed, memory=job.memory)
        if job.ended_at is not None:
            self._see_to_the_end(job, now)
            # The more processes it has, the less time there is for other jobs.
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
        """Return what a job is limited to; once that is known it is never widened."""
        said = job.worker.scoreboard.limits_of(job.status.child)
        if said is None:
            if job.are_known:
                return job.limits
            # The child has not come to know its job yet; the pool's are certain.
            rules = self._settings_of(job.worker).rules
            return job.worker.limits.with_fallback(rules.default)
        if said.memory:
            self._least_asked = min(self._least_asked or said.memory, said.memory)
        limits = job.limits.tightened(said) if job.are_known else said
        job.are_known = True
        return limits

    def _is_to_be_confirmed(self, job: MonitoredJob) -> bool:
        return job.tree.size > 1 and not job.is_suspected

    def _end(self, job: MonitoredJob, cause: Cause, elapsed: float, now: float) -> None:
        """Have the worker end a job, in words that stand in the failure."""
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
        """Kill a job that grows on in its grace, or outlives it."""
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
        """Kill a worker that does not see to its job's end: it is stopped, or stuck.

        One that is busy with killing thousands is neither. Of so many the census may
        be older than the patience: what counts is when it was taken.
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
        """See that every worker makes progress; doom the one that does not."""
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
                # There is no job any more, and nobody who says so.
                since = bereft.get((worker, status), now)
                self._childless[worker, status] = since
                limit = step_limit(timeout, self._timings) + settings.grace
                is_stuck = now - since > limit
            if is_stuck and worker not in self._pending_kills:
                self._dump_then_kill(worker, now)

    def _dump_then_kill(self, worker: WorkerHandle, now: float) -> None:
        """Have a stuck worker write down where it is; it is killed after that."""
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
    """Return what was exceeded, by how much, and what the job had used.

    What a job with many processes has used is not measured: the order would wait.
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
