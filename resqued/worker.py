"""The worker's side of a slot: take a job, hand it to a child, record its fate.

Runs in a worker process: one loop, one wait point, no threads, no sleeps. What a
signal, an exit or a deadline means is decided in core; the child in hand is a
ActiveJob; every word to Redis goes through Runs.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from contextlib import suppress
from math import inf
from typing import NamedTuple

from resqued import child
from resqued.config.settings import AppSettings
from resqued.core.backoff import Backoff
from resqued.core.lifecycle import Stop, retirement
from resqued.core.limits import Cause
from resqued.errors import StoreError
from resqued.execution.active_job import ActiveJob, PipePoller
from resqued.execution.prefork import ChildPool
from resqued.execution.registration import WorkerRegistration
from resqued.execution.reporter import WorkerReporter
from resqued.ipc.channel import Channel, ChannelClosed
from resqued.ipc.scoreboard import Phase, Scoreboard
from resqued.store.availability import RedisAvailability
from resqued.store.connection import SingleLink
from resqued.store.runs import ReserveOutcome, ReserveReply
from resqued.system import process
from resqued.system.memory import OomKills
from resqued.system.signals import SignalInbox
from resqued.wire import payload
from resqued.wire.payload import FailureInfo, Reservation
from resqued.wire.queue_list import QueueList

# hot path: enum-members
_SIGCHLD = int(signal.SIGCHLD)
_NO, _TERMINATE = Stop.NO, Stop.TERMINATE
_RESERVING, _RUNNING, _SETTLING = Phase.RESERVING, Phase.RUNNING, Phase.SETTLING
ORDERS: dict[int, str] = {
    signal.SIGQUIT: "quit",
    signal.SIGTERM: "terminate",
    signal.SIGINT: "interrupt",
    signal.SIGUSR1: "drop",
    signal.SIGUSR2: "pause",
    signal.SIGCONT: "resume",
}


class WorkerLinks(NamedTuple):
    """What joins a worker to others: its master, whoever watches it, and Redis."""

    channel: Channel
    scoreboard: Scoreboard
    link: SingleLink


class WorkerProcess:
    """One worker: registered in Redis, at most one job in hand."""

    def __init__(
        self,
        settings: AppSettings,
        queues: QueueList,
        lines: WorkerLinks,
        *,
        is_paused: bool = False,
    ) -> None:
        channel, scoreboard, link = lines
        self._settings = settings
        self._channel = channel
        self._scoreboard = scoreboard
        self._inbox = SignalInbox()
        self._poll = select.poll()
        # Of signals, and of orders: the same for good.
        self._fds = (self._inbox.fileno(), channel.fileno())
        for fd in self._fds:
            self._poll.register(fd, select.POLLIN)
        self._pipe_poller = PipePoller(self._poll)
        self._sweeps = settings.sweeps
        self._registration = WorkerRegistration(settings, queues, link)
        self._log = self._registration.log
        self._reporter = WorkerReporter(scoreboard, settings.generation, self._log)
        self._wants_job = True
        self._is_paused = is_paused
        self._stop = _NO
        self._is_done = False
        # Redis is away; the system refuses to fork.
        self._redis = RedisAvailability(self._log)
        self._scarcity = Backoff(first=0.1, cap=2.0)
        self._leave_at = retirement(settings.max_age, time.monotonic(), random.random())
        self._give_up_at = inf
        self._orphan_at = inf
        self._children = self._make_children(scoreboard)
        self._oom_kills = OomKills()
        self._running: ActiveJob | None = None
        self._is_orphan = False

    def _make_children(self, scoreboard: Scoreboard) -> ChildPool:
        worker_id = self._registration.runs.worker_id
        terms = child.ChildContext.of(
            os.getpid(), worker_id, self._settings, scoreboard
        )
        return ChildPool(
            child.ChildMain(self._inbox, child.SignalReaction(scoreboard), terms),
            self._private_descriptors,
            jobs=self._settings.jobs_per_child,
        )

    def run(self) -> int:
        """Work until told to stop; answer the exit status."""
        runs = self._registration.runs
        self._tell("hello", os.getpid(), runs.worker_id, runs.identity)
        while not self._is_done:
            now = time.monotonic()
            self._advance(now)
            self._talk(now)
            if not self._is_done:
                self._wait(now)
        self._children.discard()
        self._inbox.close()
        return 0

    # The job in hand

    def _advance(self, now: float) -> None:
        """Do what is due about the job in hand, and see whether it is over."""
        job = self._running
        if now >= self._orphan_at:
            self._orphan_at = inf
            self._end_job("its master is gone", now)
        if now >= self._leave_at:
            self._retire_if_due(now)
        if job is None:
            return
        job.step(now)
        if now >= job.listen_at:
            self._pipe_poller.begin(job)
        if job.is_over(now):
            self._running = None
            self._pipe_poller.end()
            if job.stays() and self._stop is _NO:
                self._children.put_back(job.forked)
            else:
                job.pipe.close()
            self._conclude(job.held, job.run, job.fault(self._oom_kills))
            self._retire_if_due(now)

    def _conclude(self, held: Reservation, run: int, fault: FailureInfo | None) -> None:
        """Note how a run ended, to be settled."""
        self._reporter.ended(held, fault)
        self._registration.record_end(held, run, fault)

    def _start(self, held: Reservation, run: int) -> None:
        """Give the job to a child."""
        if self._stop is _TERMINATE:
            fault = FailureInfo(payload.TERM_EXCEPTION, "terminated before it began")
            self._conclude(held, run, fault)
            return
        try:
            forked = self._children.take()
        except OSError as error:
            # No process to be had. Redis says that the job is ours; ask again.
            self._log.error("fork_failed", error=str(error))
            self._registration.reply_lost = True
            self._scarcity = self._scarcity.failed(time.monotonic(), random.random())
            return
        if self._scarcity.failures:
            self._scarcity = self._scarcity.succeeded()
        self._oom_kills.note()
        self._running = ActiveJob(forked, held, run, self._scoreboard)
        # First: should this worker be killed, the master ends what the job has begun.
        self._reporter.phase(_RUNNING, self._running)
        queue = held.queue.encode("utf-8", "surrogateescape")
        if not forked.pipe.give(queue, held.payload):
            self._pipe_poller.begin(self._running)
        self._reporter.busy(self._running)
        if self._stop is _NO and forked.jobs == 1:
            self._children.fork_ahead()

    def _end_job(self, reason: str, now: float, cause: Cause = Cause.ORDER) -> None:
        """Begin to end the job in hand."""
        if self._running is not None:
            self._log.warning("job_ended", child=self._running.pid, reason=reason)
            self._running.end_job(
                reason,
                now=now,
                grace=self._settings.grace,
                excluded=self._children.standby,
                cause=cause,
            )

    def _retire_if_due(self, now: float) -> None:
        """Leave for a fresh worker, after so many jobs or so much time."""
        most = self._settings.max_jobs
        is_due = (most and self._reporter.done >= most) or now >= self._leave_at
        if is_due and self._stop is _NO:
            self._log.info("worker_retires", jobs=self._reporter.done)
            self._stop = Stop.QUIT

    # Children

    def _private_descriptors(self) -> list[int]:
        """Return what a child must not hold: sockets of this worker, other pipes."""
        fds = list(self._fds)
        if (redis := self._registration.runs.link.fileno()) is not None:
            fds.append(redis)
        if self._running is not None:
            fds += (self._running.pipe.down, self._running.pipe.up)
        return fds

    def _reap(self) -> None:
        for pid, how in process.reap():
            if self._running is not None and pid == self._running.pid:
                self._running.ended(
                    how, sweep=self._sweeps, excluded=self._children.standby
                )
            else:
                self._children.lost(pid)

    # Redis

    def _talk(self, now: float) -> None:
        """Say to Redis what there is to say, unless it is away."""
        if now < self._ready_at():
            return
        try:
            self._say(now)
        except StoreError as error:
            self._lose_redis(error, now)
        else:
            if self._redis.is_down:
                self._redis.end()

    def _ready_at(self) -> float:
        """When to try what could not be had: Redis, or a process."""
        return max(self._redis.ready_at, self._scarcity.ready_at)

    def _say(self, now: float) -> None:
        registration = self._registration
        if self._running is None:
            if not registration.is_registered and not self._register(now):
                return
            while self._has_question() and now >= self._ready_at():
                self._reporter.phase(
                    _RESERVING if registration.ending is None else _SETTLING
                )
                self._take_in(registration.ask(takes_job=self._takes_jobs()))
            if self._stop is not _NO and self._is_free():
                self._reporter.phase(Phase.STOPPING)
                self._is_done = registration.leave()
        if now >= registration.next_heartbeat and registration.is_registered:
            registration.beat(now)
            self._show_progress()

    def _register(self, now: float) -> bool:
        registration = self._registration
        if self._stop is not _NO and self._is_free() and not registration.reply_lost:
            self._is_done = True
            return False
        if not registration.register(now):
            self._tell("taken")
            self._is_done = True
            return False
        self._tell("ready")
        if self._is_paused:
            self._become_idle(is_paused=True)
        return True

    def _has_question(self) -> bool:
        registration = self._registration
        if not registration.is_registered or self._running is not None:
            return False
        is_curious = registration.reply_lost or (self._wants_job and self._takes_jobs())
        return registration.ending is not None or is_curious

    def _takes_jobs(self) -> bool:
        return self._stop is _NO and not self._is_paused

    def _is_free(self) -> bool:
        return self._running is None and self._registration.ending is None

    def _take_in(self, answer: ReserveReply) -> None:
        if answer.held is not None:
            self._start(answer.held, answer.run)
        elif answer.found is ReserveOutcome.UNREGISTERED:
            self._registration.is_registered = False
            self._wants_job = True
        elif answer.found is not ReserveOutcome.SETTLED:
            self._become_idle(is_paused=answer.found is ReserveOutcome.PAUSED)
        elif self._is_paused and self._stop is _NO:
            self._reporter.idle(self._registration.runs.queues, is_paused=True)

    def _become_idle(self, *, is_paused: bool) -> None:
        self._wants_job = False
        # One that its master holds back has not found anything empty.
        if self._settings.burst and not self._is_paused:
            self._stop = max(self._stop, Stop.QUIT)
            self._tell("done")
            return
        self._reporter.idle(self._registration.runs.queues, is_paused=is_paused)
        self._children.fork_ahead()
        self._tell("idle", is_paused)

    def _lose_redis(self, error: StoreError, now: float) -> None:
        self._registration.runs.link.close()
        self._redis.begin(error, now)
        self._show_progress()
        # Told to quit, a worker waits as long as it takes to settle its job.
        is_settled = self._stop is Stop.QUIT and self._is_free()
        if self._stop is Stop.TERMINATE or self._is_orphan or is_settled:
            give_up_at = now + self._settings.settle_grace
            self._give_up_at = min(self._give_up_at, give_up_at)

    def _give_up(self) -> None:
        """Leave without Redis: whoever prunes next finds the job in our name."""
        if (ending := self._registration.ending) is not None:
            self._reporter.unsettled(ending.run)
        self._is_done = True

    # Waiting

    def _wait(self, now: float) -> None:
        """The one wait point: signals, orders, the child, the next deadline."""
        signals, orders = self._fds
        has_signals = has_orders = has_words = False
        for fd, _ in self._poll.poll(self._timeout(now)):
            if fd == signals:
                has_signals = True
            elif fd == orders:
                has_orders = True
            else:
                has_words = True
        # Why a job was to end comes before that it has ended.
        if has_orders:
            self._take_orders()
        if has_signals:
            self._take_signals()
        if has_words and self._running is not None:
            self._listen(self._running)
        if self._give_up_at < inf and time.monotonic() >= self._give_up_at:
            self._give_up()

    def _timeout(self, now: float) -> float | None:
        """Return the milliseconds until something is due."""
        due = min(self._orphan_at, self._give_up_at)
        if self._stop is _NO:
            due = min(due, self._leave_at)
        if self._registration.is_registered:
            due = min(due, max(self._registration.next_heartbeat, self._ready_at()))
        if self._running is not None:
            due = min(due, self._running.deadline(now), self._running.listen_at)
        elif self._has_words():
            due = min(due, max(now, self._ready_at()))
        return max(0.0, due - now) * 1000 + 0.5 if due < inf else None

    def _has_words(self) -> bool:
        """Say whether there is something to tell Redis, or to ask, with no job."""
        is_due = not self._registration.is_registered or self._stop is not _NO
        return is_due or self._has_question()

    def _listen(self, job: ActiveJob) -> None:
        """The child has said something, or has room for more of its job."""
        if job.pipe.wants_write:
            job.pipe.pump()
        if job.listen(time.monotonic(), self._settings.exit_grace):
            self._pipe_poller.begin(job)
        else:
            self._pipe_poller.end()

    def _take_signals(self) -> None:
        now = time.monotonic()
        for received in self._inbox.drain():
            if received.signum == _SIGCHLD:
                self._reap()
            elif (order := ORDERS.get(received.signum)) is not None:
                name = signal.Signals(received.signum).name
                sent_by = process.describe(received.sender, received.uid)
                self._log.info("signal_received", signal=name, sent_by=sent_by)
                self._obey(order, now)

    def _take_orders(self) -> None:
        now = time.monotonic()
        try:
            for kind, *values in self._channel.messages():
                if kind == "end":
                    pid, since, cause, reason = values
                    # A child may have gone on to another job meanwhile.
                    if self._scoreboard.read()[1:3] == (pid, since):
                        self._end_job(reason, now, Cause(cause))
                elif kind == "reopen":
                    self._children.reopen_log(values[0], self._log)
                else:
                    self._obey(kind, now)
        except ChannelClosed:
            self._become_orphan(now)

    def _become_orphan(self, now: float) -> None:
        """The master is gone: no new job, and not long for the one in hand."""
        self._poll.unregister(self._channel.fileno())
        self._is_orphan = True
        self._stop = max(self._stop, Stop.QUIT)
        self._orphan_at = now + self._settings.orphan_grace
        self._log.warning("master_lost")

    def _obey(self, order: str, now: float) -> None:
        """Do as the master or a signal says; most only set a wish."""
        match order:
            case "wake":
                self._wants_job = True
            case "terminate" if self._settings.graceful_term:
                self._stop = max(self._stop, Stop.QUIT)
            case "terminate" | "interrupt":
                self._stop = Stop.TERMINATE
                self._end_job("its worker was told to terminate", now)
            case "quit":
                self._stop = max(self._stop, Stop.QUIT)
                self._tell("quits")
                if self._running is not None:
                    self._reporter.quitting(self._running)
            case "drop":
                self._end_job("it was dropped (SIGUSR1)", now)
            case "pause":
                self._is_paused = True
                if self._is_free():
                    self._reporter.idle(self._registration.runs.queues, is_paused=True)
            case "resume":
                self._is_paused = False
                self._wants_job = True

    def _show_progress(self) -> None:
        # Nothing is due while a job runs: a job takes as long as it takes.
        if self._running is None:
            self._reporter.progress()

    def _tell(self, kind: str, *values: object) -> None:
        # That the master is gone, the wait point says too.
        with suppress(ChannelClosed):
            self._channel.send(kind, *values)
