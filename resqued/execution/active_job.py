"""A child and the job in its hands, as its worker sees them.

Runs in the worker. Knows how the child is doing and how far its ending has come;
what that means for the job is decided in core.outcome and core.escalation.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from math import inf
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from resqued.core.escalation import Escalation, Step
from resqued.core.exit_status import Exit
from resqued.core.limits import Cause
from resqued.core.timings import Timings
from resqued.execution.prefork import ChildHandle
from resqued.ipc.scoreboard import Scoreboard
from resqued.system import process
from resqued.system.memory import OomKills
from resqued.system.process_tree import JobProcesses
from resqued.system.signals import STACK_SIGNAL
from resqued.wire.outcome import (
    NO_TERMINATION,
    ChildReport,
    Termination,
    frames_of_job,
    judge,
)
from resqued.wire.payload import FailureInfo, Reservation

# A short job is asked how it went when it has ended, which spares a wake-up.
LISTEN_AFTER = 0.02
# hot path: enum-members
_ORDER = Cause.ORDER
# Where this package lies.
_HOME = f"{Path(__file__).parents[1]}/"


class PipePoller:
    """What the worker waits for of the child in hand: its word, and room for its job.

    `poll` is the worker's one wait point.
    """

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._up = self._down = -1

    def begin(self, job: ActiveJob) -> None:
        """Wait for the child's word, and for room while its job did not fit."""
        job.listen_at = inf
        if self._up < 0:
            self._up = job.pipe.up
            self._poll.register(self._up, select.POLLIN)
        if job.pipe.wants_write and self._down < 0:
            self._down = job.pipe.down
            self._poll.register(self._down, select.POLLOUT)
        elif self._down >= 0 and not job.pipe.wants_write:
            self._poll.unregister(self._down)
            self._down = -1

    def end(self) -> None:
        """Wait no more: the child has said its word, or cannot any more."""
        for fd in (self._up, self._down):
            if fd >= 0:
                self._poll.unregister(fd)
        self._up = self._down = -1


class ActiveJob:
    """A child that was given its job."""

    def __init__(
        self,
        forked: ChildHandle,
        held: Reservation,
        scoreboard: Scoreboard,
        oom_kills: OomKills,
        timings: Timings,
    ) -> None:
        self.forked = forked
        self.pid = forked.pid
        self.pipe = forked.pipe
        self.held = held
        self.began = process.ticks()
        # A child that stays says no more than its outcome: that is waited for.
        patience = LISTEN_AFTER if forked.jobs == 1 else 0.0
        self.listen_at = time.monotonic() + patience
        self._scoreboard = scoreboard
        self._oom_kills = oom_kills
        self._timings = timings
        self._told: ChildReport | None = None
        self._exit: Exit | None = None
        self._exit_by = inf
        self._escalation: Escalation | None = None
        self._cause = _ORDER
        self._processes: JobProcesses | None = None
        self._excluded: Callable[[], Collection[int]] = tuple
        # The processes at the last SIGKILL; and when those that are left are given up.
        self._left: frozenset[tuple[int, int]] | None = None
        self._give_up_at = inf

    def listen(self, now: float, exit_grace: float) -> bool:
        """Take in what the child says; from then on it has exit_grace to leave.

        Returns whether there is more to be heard.
        """
        self._told = self._told or self._receive()
        if self._told is not None and self._exit_by == inf and not self.stays():
            self._exit_by = now + exit_grace
        return self._told is None and not self.pipe.is_closed

    def _receive(self) -> ChildReport | None:
        return self.pipe.receive(may_stay=self.forked.jobs > 1)

    @property
    def has_reported(self) -> bool:
        """Whether the child has reported how the job went."""
        return self._told is not None

    def stays(self) -> bool:
        """Whether the child is done with its job, and there for another."""
        told = self._told
        return told is not None and told.stays and self._escalation is None

    def ended(
        self, how: Exit, *, sweep: bool, excluded: Callable[[], Collection[int]]
    ) -> None:
        """The child was reaped: what it said last counts.

        With `sweep` processes that its job has left behind are killed. A child that did
        not say how its job went did not say what it left either.
        """
        self._told = self._told or self._receive()
        self._exit = how
        may_have_left = self._told is None or self._told.has_left
        if sweep and may_have_left and self._escalation is None:
            self._excluded = excluded
            self._escalation = Escalation(time.monotonic(), 0.0, "")

    def end_job(
        self,
        reason: str,
        *,
        now: float,
        grace: float,
        excluded: Callable[[], Collection[int]],
        cause: Cause = Cause.ORDER,
    ) -> None:
        """Begin to end the job: terminate, grace, kill. Once only."""
        if self._escalation is None:
            # Time for the stacks at least.
            grace = max(grace, self._timings.job_stack_time)
            self._escalation = Escalation(now, grace, reason)
            self._cause = cause
            self._excluded = excluded

    def step(self, now: float) -> None:
        """Do what is due."""
        if now >= self._exit_by and self._exit is None:
            # It hangs while it flushes; its job is over, and was told to be. What else
            # the job has started is seen to when the child is dead.
            self._exit_by = inf
            process.send(self.pid, SIGKILL)
        asked = self._escalation
        if asked is not None and (asked.sent is Step.NOTHING or not self._is_gone()):
            self._escalate(asked, now)

    def _escalate(self, escalation: Escalation, now: float) -> None:
        due = escalation.due(now)
        if self._processes is None:
            self._processes = JobProcesses(
                self.pid,
                excluded=self._excluded,
                since=self.began,
                tracker_patience=self._timings.tracker_patience,
            )
        if due is Step.TERMINATE:
            self._terminate(self._processes)
        elif due is Step.KILL or escalation.sent is Step.KILL:
            # Repeated: the processes may fork while they are being killed.
            self._kill(self._processes, now)
        if due is not Step.NOTHING:
            self._escalation = replace(escalation, sent=due)

    def _kill(self, processes: JobProcesses, now: float) -> None:
        """Kill what is left of the job, and see whether any of it has died since."""
        processes.kill()
        before, self._left = self._left, frozenset(processes.members())
        if before is None or not before <= self._left:
            # They die, if slowly: thousands take the kernel seconds.
            self._give_up_at = now + self._timings.unkillable_patience

    def _terminate(self, processes: JobProcesses) -> None:
        """Have the child write down where it is, and leave.

        It is stopped, so that both signals act at once when it goes on: the stack is
        that of the interrupted step, and none runs between it and the exception.
        SIGTERM comes first. It interrupts a system call, STACK_SIGNAL has one go on:
        the child would act on SIGTERM when that has ended, which may be never.
        """
        is_there = self._exit is None
        # What stands there is of an earlier job.
        self._scoreboard.clear_stack()
        if is_there:
            reason = self._escalation.reason if self._escalation else ""
            self._scoreboard.set_cause(self._cause, reason)
            process.send(self.pid, SIGSTOP)
        processes.send(SIGTERM)
        if is_there and self._scoreboard.is_open_in(self.pid):
            process.send_main_thread(self.pid, STACK_SIGNAL)
        # One that somebody else has stopped goes on too.
        processes.send(SIGCONT)

    def _is_gone(self) -> bool:
        return self._exit is not None and not (
            self._processes is not None and self._processes.has_members()
        )

    def is_over(self, now: float) -> bool:
        """Return True if the child is dead, and all of its family if we ended it."""
        if self._exit is None:
            return self.stays()
        if self._escalation is None:
            return True
        # Nobody has been looked for before the first step.
        if self._escalation.sent is not Step.NOTHING and self._is_gone():
            return True
        return now >= self._give_up_at

    def deadline(self, now: float) -> float:
        """Return when step must be called again, if nothing else happens."""
        if self._escalation is not None:
            if self._escalation.sent is Step.NOTHING:
                return now
            if self._exit is not None or self._escalation.sent is Step.KILL:
                return now + self._timings.kill_recheck
            return self._escalation.kill_at
        return self._exit_by if self._exit is None else inf

    def fault(self) -> FailureInfo | None:
        """Return why the job failed, or None; for a job that is over."""
        reason = NO_TERMINATION
        if self._escalation is not None and self._escalation.reason:
            stack = self._scoreboard.stack() if self._told is None else ()
            stack = frames_of_job(stack, _HOME)
            reason = Termination(self._escalation.reason, self._cause, stack)
            self._scoreboard.set_cause(Cause.ORDER)
        is_unexplained = self._told is None and not reason.text
        was_killed = self._exit is not None and self._exit.code == -SIGKILL
        return judge(
            self._told,
            self._exit,
            pid=self.pid,
            reason=reason,
            # Asked for the few only that may be such a one: it reads files.
            out_of_memory=is_unexplained
            and was_killed
            and self._oom_kills.have_risen(),
        )
