"""A child and its job, as the worker sees them.

Runs in the worker. It knows the state of the child, and which signals the child was
sent; core.outcome and core.escalation decide what that means for the job.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Collection
from math import inf
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from msgspec.structs import replace

from resqued.core.escalation import Escalation, Step
from resqued.core.exit_status import Exit
from resqued.core.limits import Cause
from resqued.core.timings import Timings
from resqued.execution.prefork import ChildHandle
from resqued.ipc.scoreboard import Scoreboard
from resqued.store.attempts import Attempt
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

# When the worker begins to wait for the outcome, in seconds after the start. The
# outcome of a shorter job is read when the child has exited, which saves a wake-up.
LISTEN_AFTER = 0.02
# hot path: enum-members
_ORDER = Cause.ORDER
# The directory of this package.
_HOME = f"{Path(__file__).parents[1]}/"


class PipePoller:
    """Registers the pipes of the running child with the worker's poller.

    The worker waits for the outcome, and for room in the pipe if the job did not fit.
    `poll` is the only place where the worker waits.
    """

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._up = self._down = -1

    def begin(self, job: ActiveJob) -> None:
        """Wait for the outcome, and for room in the pipe while the job did not fit."""
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
        """Stop waiting: the child has reported, or has closed its pipe."""
        for fd in (self._up, self._down):
            if fd >= 0:
                self._poll.unregister(fd)
        self._up = self._down = -1


class ActiveJob:
    """A child that has received its job."""

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
        # Known for jobs with a retry.
        self.attempt: Attempt | None = None
        self.began = process.ticks()
        self.listen_at = time.monotonic() + LISTEN_AFTER
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
        # The processes at the last SIGKILL, and when the worker stops waiting for them.
        self._left: frozenset[tuple[int, int]] | None = None
        self._give_up_at = inf

    def listen(self, now: float, exit_grace: float) -> bool:
        """Read the outcome; the child then has `exit_grace` seconds to exit.

        Return True while the outcome has not arrived and the pipe is open.
        """
        self._told = self._told or self._receive()
        if self._told is not None and self._exit_by == inf and not self.stays():
            self._exit_by = now + exit_grace
        return self._told is None and not self.pipe.is_closed

    def _receive(self) -> ChildReport | None:
        return self.pipe.receive(may_stay=self.forked.jobs > 1)

    @property
    def has_reported(self) -> bool:
        """Whether the child has reported the outcome of the job."""
        return self._told is not None

    @property
    def retry(self) -> float | None:
        """The delay in seconds after which the child wants another attempt, or None."""
        return None if self._told is None else self._told.retry

    @property
    def is_to_blame(self) -> bool:
        """Whether a death of the child counts against the job.

        Not if it was ended by an order, or for its time: that kills nothing else.
        """
        escalation = self._escalation
        is_ended = escalation is not None and bool(escalation.reason)
        return not is_ended or self._cause is Cause.MEMORY

    def stays(self) -> bool:
        """Return True if the child has finished its job and waits for another."""
        told = self._told
        return told is not None and told.stays and self._escalation is None

    def ended(
        self, how: Exit, *, sweep: bool, excluded: Callable[[], Collection[int]]
    ) -> None:
        """Note that the child was reaped; a report that is still in the pipe counts.

        With `sweep`, processes that the job has left behind are killed: if the child
        reported some, or if it reported nothing. `excluded` returns pids to spare.
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
        """Begin to end the job: SIGTERM, then SIGKILL after `grace` seconds.

        A second call does nothing. `reason` and `cause` become a part of the failure;
        `excluded` returns pids that are spared.
        """
        if self._escalation is None:
            # At least the time that the child needs to write its stacks.
            grace = max(grace, self._timings.job_stack_time)
            self._escalation = Escalation(now, grace, reason)
            self._cause = cause
            self._excluded = excluded

    @property
    def has_failed(self) -> bool:
        """Whether the child has reported that the job has failed."""
        return self._told is not None and self._told.fault is not None

    def step(self, now: float) -> bool:
        """Send the signals that are due; return True if the child was killed at exit.

        The outcome of its job was reported then.
        """
        is_late = now >= self._exit_by and self._exit is None
        if is_late:
            # The child hangs at exit; its job is over, and the outcome was reported.
            # Other processes of the job are killed when the child is dead.
            self._exit_by = inf
            process.send(self.pid, SIGKILL)
        asked = self._escalation
        if asked is not None and (asked.sent is Step.NOTHING or not self._is_gone()):
            self._escalate(asked, now)
        return is_late

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
        """Kill the processes of the job; note whether some have died since before."""
        processes.kill()
        before, self._left = self._left, frozenset(processes.members())
        if before is None or not before <= self._left:
            # They are dying: the kernel needs seconds for thousands of processes.
            self._give_up_at = now + self._timings.unkillable_patience

    def _terminate(self, processes: JobProcesses) -> None:
        """Make the child write its stack, and terminate all processes of the job.

        SIGSTOP comes first, so that both signals act together when the child continues:
        the stack is that of the interrupted step, and no other step runs between the
        stack and the exception. SIGTERM comes before STACK_SIGNAL, because SIGTERM
        interrupts a system call and STACK_SIGNAL restarts it: the child would act on
        SIGTERM only when the system call has ended, which may never happen.
        """
        is_there = self._exit is None
        # The present content may be the stack of an earlier job.
        self._scoreboard.clear_stack()
        if is_there:
            reason = self._escalation.reason if self._escalation else ""
            self._scoreboard.set_cause(self._cause, reason)
            process.send(self.pid, SIGSTOP)
        processes.send(SIGTERM)
        if is_there and self._scoreboard.is_open_in(self.pid):
            process.send_main_thread(self.pid, STACK_SIGNAL)
        # This also continues processes that something else had stopped.
        processes.send(SIGCONT)

    def _is_gone(self) -> bool:
        return self._exit is not None and not (
            self._processes is not None and self._processes.has_members()
        )

    def is_over(self, now: float) -> bool:
        """Return True if the job is over.

        The child is dead, or has finished its job and stays. If the job was ended, its
        other processes are dead too, or were given up.
        """
        if self._exit is None:
            return self.stays()
        if self._escalation is None:
            return True
        # Before the first step the processes of the job have not been searched.
        if self._escalation.sent is not Step.NOTHING and self._is_gone():
            return True
        return now >= self._give_up_at

    def deadline(self, now: float) -> float:
        """Return when `step` must be called again, if nothing else happens."""
        if self._escalation is not None:
            if self._escalation.sent is Step.NOTHING:
                return now
            if self._exit is not None or self._escalation.sent is Step.KILL:
                return now + self._timings.kill_recheck
            return self._escalation.kill_at
        return self._exit_by if self._exit is None else inf

    def fault(self) -> FailureInfo | None:
        """Return why the job, which is over, failed; None if it succeeded."""
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
            # Only for a child that may have been killed for memory: this reads files.
            out_of_memory=is_unexplained
            and was_killed
            and self._oom_kills.have_risen(),
        )
