"""The worker: takes a job, passes it to a child, and records the outcome.

Runs in a worker process: one loop, which waits at one place; no threads, no sleeps.
core.worker_lifecycle decides the next request to Redis. JobRunner handles the running
job; WorkerRegistration makes each request to Redis.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from math import inf

# Imported before the application, which may patch the module (gevent).
from select import POLLIN, poll
from typing import assert_never

from resqued.child import ChildContext
from resqued.config.settings import AppSettings
from resqued.core.lifecycle import Stop, retirement
from resqued.core.worker_lifecycle import (
    RedisRequest,
    WorkerEvent,
    WorkerState,
    next_request,
    step,
)
from resqued.errors import StoreError
from resqued.execution.job_runner import JobRunner
from resqued.execution.registration import WorkerRegistration
from resqued.execution.reporter import WorkerReporter
from resqued.execution.signal_orders import signal_orders
from resqued.execution.worker_links import WorkerLinks
from resqued.ipc import messages
from resqued.ipc.channel import ChannelClosed
from resqued.ipc.messages import (
    EndJob,
    Leave,
    SpawnWorker,
    WorkerOrder,
    WorkerReport,
)
from resqued.ipc.scoreboard import Phase
from resqued.store.availability import RedisAvailability
from resqued.store.runs import NoJob
from resqued.wire import payload
from resqued.wire.payload import FailureInfo, Reservation
from resqued.wire.queue_list import QueueList

# hot path: enum-members
_SIGCHLD = int(signal.SIGCHLD)
_NO, _TERMINATE = Stop.NO, Stop.TERMINATE
_RESERVING, _SETTLING = Phase.RESERVING, Phase.SETTLING
_NONE, _RESERVE, _SETTLE = RedisRequest.NONE, RedisRequest.RESERVE, RedisRequest.SETTLE
_JOB, _JOB_ENDED = WorkerEvent.JOB, WorkerEvent.JOB_ENDED
_ASKING, _RUNNING, _GONE = WorkerState.ASKING, WorkerState.RUNNING, WorkerState.GONE

_NOT_BEGUN = FailureInfo(payload.TERM_EXCEPTION, "terminated before it began")


class WorkerProcess:
    """One worker: registered in Redis, at most one running job."""

    def __init__(
        self,
        settings: AppSettings,
        queues: QueueList,
        links: WorkerLinks,
        order: SpawnWorker,
    ) -> None:
        self._settings = settings
        self._channel, self._inbox, self._poll = links.channel, links.inbox, poll()
        # The descriptors of signals and of orders; they never change.
        self._fds = (self._inbox.fileno(), links.channel.fileno())
        for fd in self._fds:
            self._poll.register(fd, POLLIN)
        self._registration = WorkerRegistration(settings, queues, links.redis)
        self._registration.runs.pause(order.paused_queues)
        self._log = self._registration.log
        board = links.scoreboard
        self._reporter = WorkerReporter(
            board, settings.generation, self._log, settings.shown_namespace
        )
        worker_id = self._registration.runs.worker_id
        terms = ChildContext.of(os.getpid(), worker_id, settings, board)
        self._runner = JobRunner(terms, self._reporter, self._poll, links)
        self._state, self._stop, self._is_paused = _ASKING, _NO, order.is_paused
        self._redis = RedisAvailability(self._log)
        self._leave_at = retirement(settings.max_age, time.monotonic(), random.random())
        self._give_up_at = self._orphan_at = inf
        self._is_orphan = False

    def run(self) -> int:
        """Run jobs until ordered to stop; return the exit status."""
        runs = self._registration.runs
        self._report(messages.Hello(os.getpid(), runs.worker_id, runs.identity))
        self._runner.hooks.run("before_first_fork")
        while self._state is not _GONE:
            now = time.monotonic()
            self._advance(now)
            self._talk_to_redis(now)
            if self._state is not _GONE:
                self._wait(now)
        self._runner.discard_standby()
        self._runner.hooks.run("worker_exit")
        self._inbox.close()
        self._channel.close()
        return 0

    # The running job

    def _advance(self, now: float) -> None:
        """Send the signals that are due to the running job; settle it if it is over."""
        if now >= self._orphan_at:
            self._orphan_at = inf
            self._runner.end("its master is gone", now)
        if now >= self._leave_at:
            self._retire_if_due(now)
        job = self._runner.advance(now, keeps_child=self._stop is _NO)
        if job is not None:
            self._state = step(self._state, _JOB_ENDED)
            fault = job.fault()
            took = self._reporter.ended(job.held, fault)
            after = self._runner.retrier.after(job, fault)
            self._registration.record_end(job.held, fault, after, took=took)
            self._retire_if_due(now)

    def _retire_if_due(self, now: float) -> None:
        """Leave after `max_jobs` jobs or at `max_age`, to be replaced."""
        most = self._settings.max_jobs
        is_due = (most and self._reporter.done >= most) or now >= self._leave_at
        if is_due and self._stop is _NO:
            self._log.info("worker_retires", jobs=self._reporter.done)
            self._stop = Stop.QUIT

    # Redis

    def _talk_to_redis(self, now: float) -> None:
        """Make the requests that are due, unless Redis is away."""
        if now < self._ready_at():
            return
        try:
            self._make_requests(now)
            registration = self._registration
            if registration.is_registered and now >= registration.next_heartbeat:
                registration.beat(now)
                self._show_progress()
            if self._redis.is_down:
                self._redis.end(registration.check_writes)
        except StoreError as error:
            self._lose_redis(error, now)

    def _ready_at(self) -> float:
        """Return when to try again to reach Redis or to fork, after a failure."""
        return max(self._redis.ready_at, self._runner.ready_at)

    def _next_request(self) -> RedisRequest:
        registration = self._registration
        return next_request(
            self._state,
            is_registered=registration.is_registered,
            stop=self._stop,
            is_paused=self._is_paused,
            has_unsettled=registration.reply_lost or registration.finished is not None,
        )

    def _make_requests(self, now: float) -> None:
        registration = self._registration
        while (request := self._next_request()) is not _NONE:
            if now < self._ready_at():
                return
            if request is _RESERVE or request is _SETTLE:
                is_idle = registration.finished is None
                self._reporter.phase(_RESERVING if is_idle else _SETTLING)
                takes_job = request is _RESERVE
                answer = registration.ask(takes_job=takes_job)
                if answer is NoJob.AGAIN:
                    return
                self._take_in(answer)
            elif request is RedisRequest.REGISTER:
                self._register(now)
            elif request is RedisRequest.LEAVE:
                self._state = step(self._state, WorkerEvent.LEFT)
            else:
                self._reporter.phase(Phase.STOPPING)
                if registration.leave():
                    self._state = step(self._state, WorkerEvent.LEFT)
                return

    def _register(self, now: float) -> None:
        if not self._registration.register(now):
            self._report(messages.IdTaken())
            self._state = step(self._state, WorkerEvent.LEFT)
            return
        self._report(messages.Registered())
        if self._is_paused:
            self._become_idle(is_paused=True)

    def _take_in(self, answer: Reservation | NoJob) -> None:
        if isinstance(answer, Reservation):
            # Until it has begun, Redis alone knows of it: the next request returns it
            # again, if its attempts cannot be read or no child can be forked.
            self._registration.reply_lost = True
            if self._stop is _TERMINATE:
                after = self._runner.retrier.after_refusal(answer, _NOT_BEGUN)
                self._reporter.ended(answer, _NOT_BEGUN)
                self._registration.record_end(answer, _NOT_BEGUN, after)
            elif self._runner.start(answer, may_fork_ahead=self._stop is _NO):
                self._state = step(self._state, _JOB)
            else:
                return
            self._registration.reply_lost = False
        elif answer is NoJob.UNREGISTERED:
            self._registration.is_registered = False
            self._state = step(self._state, WorkerEvent.UNREGISTERED)
        elif answer is not NoJob.SETTLED:
            self._become_idle(is_paused=answer is NoJob.PAUSED)
        elif self._is_paused and self._stop is _NO:
            self._reporter.idle(self._registration.runs.queues, is_paused=True)

    def _become_idle(self, *, is_paused: bool) -> None:
        self._state = step(self._state, WorkerEvent.NO_JOB)
        if self._reporter.has_worked and not is_paused:
            self._runner.hooks.run("queue_empty")
        # A paused worker has not looked at its queues, so they may have jobs.
        if self._settings.burst and not self._is_paused:
            self._stop = max(self._stop, Stop.QUIT)
            self._report(messages.QueuesEmpty())
            return
        self._reporter.idle(self._registration.runs.queues, is_paused=is_paused)
        self._report(messages.Idle())
        # Last: pages that this worker has written to before are shared with the child.
        self._runner.fork_ahead()

    def _lose_redis(self, error: StoreError, now: float) -> None:
        self._registration.runs.link.close()
        self._redis.begin(error, now)
        self._show_progress()
        # A worker that must quit waits without limit until its job is settled.
        is_settled = self._stop is Stop.QUIT and self._is_free()
        if self._stop is _TERMINATE or self._is_orphan or is_settled:
            self._give_up_at = min(self._give_up_at, now + self._settings.settle_grace)

    def _give_up(self) -> None:
        """Leave without unregistering; a master prunes the entry later."""
        if (finished := self._registration.finished) is not None:
            self._reporter.unsettled(finished.run)
        self._state = step(self._state, WorkerEvent.LEFT)

    def _is_free(self) -> bool:
        return self._state is not _RUNNING and self._registration.finished is None

    # Waiting

    def _wait(self, now: float) -> None:
        """Wait for signals, orders, the child or the next deadline."""
        signals, orders = self._fds
        has_signals = has_orders = has_report = False
        for fd, _ in self._poll.poll(self._timeout(now)):
            if fd == signals:
                has_signals = True
            elif fd == orders:
                has_orders = True
            else:
                has_report = True
        # An order to end a job is read before the exit of the child is noticed.
        if has_orders:
            self._take_orders()
        if has_signals:
            self._take_signals()
        if has_report:
            self._runner.listen()
        if self._give_up_at < inf and time.monotonic() >= self._give_up_at:
            self._give_up()

    def _timeout(self, now: float) -> float | None:
        """Return the milliseconds until something is due."""
        due = min(self._orphan_at, self._give_up_at)
        if self._stop is _NO:
            due = min(due, self._leave_at)
        if self._registration.is_registered:
            due = min(due, max(self._registration.next_heartbeat, self._ready_at()))
        if (job := self._runner.active) is not None:
            due = min(due, job.deadline(now), job.listen_at)
        elif self._next_request() is not _NONE:
            due = min(due, max(now, self._ready_at()))
        return max(0.0, due - now) * 1000 + 0.5 if due < inf else None

    # Signals and orders

    def _take_signals(self) -> None:
        now = time.monotonic()
        for received in self._inbox.drain():
            if received.signum == _SIGCHLD:
                self._runner.reap()
                continue
            for order in signal_orders(received, self._log, self._settings):
                self._obey(order, now)

    def _take_orders(self) -> None:
        now = time.monotonic()
        try:
            for order in self._channel.messages():
                self._obey(order, now)
        except ChannelClosed as error:
            self._become_orphan(now, str(error))

    def _become_orphan(self, now: float, reason: str) -> None:
        """Act on the exit of the master: take no new job, and end the running one."""
        self._poll.unregister(self._channel.fileno())
        self._is_orphan = True
        self._stop = max(self._stop, Stop.QUIT)
        self._orphan_at = now + self._settings.orphan_grace
        self._log.warning("master_lost", reason=reason)

    def _obey(self, order: WorkerOrder, now: float) -> None:
        """Carry out an order of the master or of a signal."""
        match order:
            case messages.Wake(queues):
                self._registration.runs.hint(queues)
                self._state = step(self._state, WorkerEvent.WOKEN)
            case Leave(stop):
                self._leave(stop)
            case EndJob():
                self._runner.obey(order, now)
            case messages.Pause():
                self._runner.hooks.pause(was_paused=self._is_paused)
                self._is_paused = True
                if self._is_free():
                    self._reporter.idle(self._registration.runs.queues, is_paused=True)
            case messages.Resume():
                self._state = step(self._state, WorkerEvent.WOKEN)
                self._runner.hooks.resume(was_paused=self._is_paused)
                self._is_paused = False
            case messages.PausedQueues(names):
                self._registration.runs.pause(names)
            case messages.Reconnect():
                self._registration.runs.link.close()
            case messages.ReopenLog(path):
                self._runner.reopen_log(path)
            case _:
                assert_never(order)

    def _leave(self, stop: Stop) -> None:
        self._runner.hooks.shut_down()
        self._stop = max(self._stop, stop)
        if stop is Stop.QUIT:
            self._report(messages.NoMoreJobs())
            if self._runner.active is not None:
                self._reporter.quitting(self._runner.active)

    def _show_progress(self) -> None:
        # While a job runs the scoreboard must keep showing when the job began.
        if self._state is not _RUNNING:
            self._reporter.progress()

    def _report(self, report: WorkerReport) -> None:
        # The poller reports the exit of the master too.
        with suppress(ChannelClosed):
            self._channel.send(report)
