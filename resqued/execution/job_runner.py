"""The running job of a worker: its start in a child, and its end.

Runs in the worker. The worker decides when to start a job and what its end means;
this module handles the child, its pipes, and the children that are forked ahead.
"""

from __future__ import annotations

import random
import select
import time

from resqued.child import ChildContext, ChildMain, SignalReaction
from resqued.core.backoff import Backoff
from resqued.core.limits import Cause
from resqued.execution.active_job import ActiveJob, PipePoller
from resqued.execution.hook_runner import HookRunner
from resqued.execution.prefork import ChildPool
from resqued.execution.reporter import WorkerReporter
from resqued.execution.retrier import Retrier
from resqued.execution.worker_links import WorkerLinks
from resqued.hooks.job_hooks import registered
from resqued.ipc.messages import SPOILER, EndJob, JobInChild
from resqued.ipc.scoreboard import Phase, StepRecord
from resqued.system import process
from resqued.system.memory import OomKills
from resqued.wire import payload
from resqued.wire.payload import Reservation

_RUNNING = Phase.RUNNING


class JobRunner:
    """At most one running job of a worker.

    `poll` is the only place where the worker waits. A child closes its copies of the
    descriptors of `links`.
    """

    def __init__(
        self,
        context: ChildContext,
        reporter: WorkerReporter,
        poll: select.poll,
        links: WorkerLinks,
    ) -> None:
        settings, self._scoreboard = context.settings, context.scoreboard
        self._grace, self._exit_grace = settings.grace, settings.exit_grace
        self._sweeps = context.sweeps
        self._timings = settings.timings
        self._reporter = reporter
        self._log = reporter.log
        self._fds = (links.inbox.fileno(), links.channel.fileno())
        self._link = links.redis
        self._pipe_poller = PipePoller(poll)
        self._children = ChildPool(
            ChildMain(links.inbox, SignalReaction(self._scoreboard), context),
            self._private_descriptors,
            jobs=settings.jobs_per_child,
        )
        # A before_fork hook must see the job before its child is forked.
        self._forks_ahead = not registered("before_fork")
        self.hooks = HookRunner(
            context, links.inbox, reporter, self._foreign_descriptors
        )
        self.retrier = Retrier(settings, links.redis, self.hooks, self._log)
        self._oom_kills = OomKills()
        # The pause after the system has refused to fork.
        self._scarcity = Backoff(first=0.1, cap=2.0)
        # When a fork may be tried again; in the past unless the last one failed.
        self.ready_at = self._scarcity.ready_at
        self.active: ActiveJob | None = None

    def start(self, held: Reservation, *, may_fork_ahead: bool) -> bool:
        """Give the job to a child; return False if no child can be forked.

        Raises StoreError if it has a retry, and its attempts cannot be read.
        """
        attempt = self.retrier.attempt_of(held)
        try:
            forked = self._children.take()
        except OSError as error:
            self._log.error("fork_failed", error=str(error))
            self._back_off(self._scarcity.failed(time.monotonic(), random.random()))
            return False
        if self._scarcity.failures:
            self._back_off(self._scarcity.succeeded())
        self._oom_kills.note()
        job = self.active = ActiveJob(
            forked, held, self._scoreboard, self._oom_kills, self._timings
        )
        # This comes first: if this worker is killed, the master ends the child that
        # the scoreboard names.
        self._reporter.phase(_RUNNING, job)
        queue = held.queue.encode("utf-8", "surrogateescape")
        # A child that stays does not exit, so the worker waits for its outcome at once.
        job.attempt = attempt
        known = attempt.encode() if attempt else b""
        if not forked.pipe.give(queue, held.payload, known) or forked.jobs > 1:
            self._pipe_poller.begin(job)
        self._reporter.busy(job)
        if may_fork_ahead and forked.jobs == 1 and self._forks_ahead:
            self._children.fork_ahead()
        return True

    def _back_off(self, scarcity: Backoff) -> None:
        self._scarcity = scarcity
        self.ready_at = scarcity.ready_at

    def end(self, reason: str, now: float, cause: Cause = Cause.ORDER) -> None:
        """Begin to end the running job, if one exists."""
        if self.active is not None:
            self._log.warning("job_ended", child=self.active.pid, reason=reason)
            self.active.end_job(
                reason,
                now=now,
                grace=self._grace,
                excluded=self._children.standby,
                cause=cause,
            )

    def obey(self, order: EndJob, now: float) -> None:
        """End the job that an order names, unless the child has another job already."""
        job, active = order.job, self.active
        if job == SPOILER:
            self._end_spoiler(order, now)
        elif job is None or (
            active is not None and job == JobInChild(active.pid, self._reporter.since)
        ):
            self.end(order.reason, now, order.cause)

    def _end_spoiler(self, order: EndJob, now: float) -> None:
        """End the job that has written on the scoreboard; correct the scoreboard."""
        job = self.active
        if job is None:
            self._reporter.progress()
            return
        shown = StepRecord(_RUNNING, job.pid, self._reporter.since, job.began)
        if self._scoreboard.read() != shown:
            self._scoreboard.write(*shown)
            self.end(order.reason, now, order.cause)

    def advance(self, now: float, *, keeps_child: bool) -> ActiveJob | None:
        """Send the signals that are due; return the job if it is over, else None.

        With `keeps_child`, a child that may run several jobs is kept for the next one.
        """
        job = self.active
        if job is None:
            return None
        if job.step(now):
            self._report_late(job)
        if now >= job.listen_at:
            self._pipe_poller.begin(job)
        if not job.is_over(now):
            return None
        self.active = None
        self._pipe_poller.end()
        if job.stays() and keeps_child:
            self._children.put_back(job.forked)
        else:
            job.pipe.close()
        return job

    def _report_late(self, job: ActiveJob) -> None:
        """Log that a child was killed which did not exit after its job."""
        late = f"did not end within exit_grace, {self._exit_grace:g} s, after the job"
        if job.has_failed and self.hooks.has_on_failure(job.held):
            self._log.error("hook_failed", hook="on_failure", error=f"it {late}")
        else:
            name = payload.class_of(job.held.payload)
            reason = f"its process {late}"
            self._log.error(
                "child_killed", child=job.pid, job_class=name, reason=reason
            )

    def listen(self) -> None:
        """Read what the child reports, and write more of a job that did not fit."""
        job = self.active
        if job is None:
            return
        if job.pipe.wants_write:
            job.pipe.pump()
        if job.listen(time.monotonic(), self._exit_grace):
            self._pipe_poller.begin(job)
        else:
            self._pipe_poller.end()

    def reap(self) -> None:
        """Reap the children that have exited."""
        for pid, how in process.reap():
            if self.active is not None and pid == self.active.pid:
                self.active.ended(
                    how, sweep=self._sweeps, excluded=self._children.standby
                )
            else:
                self._children.lost(pid)

    def fork_ahead(self) -> None:
        """Fork a child for the next job, unless a hook must see the job first."""
        if self._forks_ahead:
            self._children.fork_ahead()

    def reopen_log(self, path: str) -> None:
        """Reopen the log for this process and for the children of later jobs."""
        self._children.reopen_log(path, self._log)

    def discard_standby(self) -> None:
        """End the waiting child; there will be no job for it."""
        self._children.discard()

    def _foreign_descriptors(self) -> list[int]:
        """Return the descriptors of the worker that a process of hooks must close."""
        return [*self._private_descriptors(), *self._children.descriptors()]

    def _private_descriptors(self) -> list[int]:
        """Return the descriptors of the worker that a child must close."""
        fds = [*self._fds]
        if (redis := self._link.fileno()) is not None:
            fds.append(redis)
        if self.active is not None:
            fds += (self.active.pipe.down, self.active.pipe.up)
        return fds
