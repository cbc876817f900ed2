"""A child and the job in its hands, as its worker sees them.

Runs in the worker. Knows how the child is doing and how far its ending has come;
what that means for the job is decided in core.outcome and core.escalation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from resqued import process
from resqued.children import Forked
from resqued.core.escalation import Escalation, Step
from resqued.core.outcome import Exit, Told, judge
from resqued.core.payload import Fault, Held

if TYPE_CHECKING:
    from resqued.family import Family

# How often to look whether a killed family is gone: nothing tells of the death
# of a process that is not one's own child.
LOOK_AGAIN = 0.05
# A short job is asked how it went when it has ended, which spares a wake-up.
LISTEN_AFTER = 0.02
# A process in an uninterruptible wait outlives SIGKILL: the job is over for us.
PATIENCE_AFTER_KILL = 5.0


class Running:
    """A child that was given its job."""

    def __init__(self, forked: Forked, held: Held, run: int) -> None:
        self.pid = forked.pid
        self.end = forked.end
        self.held = held
        self.run = run
        self.began = process.ticks()
        self.listen_at: float | None = time.monotonic() + LISTEN_AFTER
        self._told: Told | None = None
        self._exit: Exit | None = None
        self._exit_by: float | None = None
        self._escalation: Escalation | None = None
        self._family: Family | None = None
        self._spared: Callable[[], Collection[int]] = tuple

    def listen(self, now: float, exit_grace: float) -> bool:
        """Take in what the child says; from then on it has exit_grace to leave.

        Answers whether there is more to be heard.
        """
        self._told = self._told or self.end.receive()
        if self._told is not None and self._exit_by is None:
            self._exit_by = now + exit_grace
        return self._told is None and not self.end.is_closed

    def ended(self, how: Exit) -> None:
        """The child was reaped: what it said last counts."""
        self._told = self._told or self.end.receive()
        self._exit = how

    def end_job(
        self,
        reason: str,
        *,
        now: float,
        grace: float,
        spared: Callable[[], Collection[int]],
    ) -> None:
        """Begin to end the job: terminate, grace, kill. Once only."""
        if self._escalation is None:
            self._escalation = Escalation(now, grace, reason)
            self._spared = spared

    def step(self, now: float) -> None:
        """Do what is due."""
        if self._exit_by is not None and now >= self._exit_by and self._exit is None:
            # It hangs while it flushes; its job is over, and was told to be.
            self._exit_by = None
            process.send_group(self.pid, SIGKILL)
        if self._escalation is not None and not self._is_gone():
            self._escalate(self._escalation, now)

    def _escalate(self, escalation: Escalation, now: float) -> None:
        if self._family is None:
            # Loaded when it is needed: see the module.
            from resqued.family import Family

            self._family = Family(self.pid, spared=self._spared, since=self.began)
        due = escalation.due(now)
        if due is Step.TERMINATE:
            self._family.send(SIGTERM)
        elif due is Step.KILL or escalation.sent is Step.KILL:
            # Again and again: a family may grow while it is being killed.
            self._family.send(SIGKILL)
        if due is not Step.NOTHING:
            self._escalation = replace(escalation, sent=due)

    def _is_gone(self) -> bool:
        return self._exit is not None and not (
            self._family is not None and self._family.has_members()
        )

    def is_over(self, now: float) -> bool:
        """Say whether the child is dead, and all of its family if we ended it."""
        if self._exit is None:
            return False
        if self._escalation is None or self._is_gone():
            return True
        return now >= self._escalation.kill_at + PATIENCE_AFTER_KILL

    def deadline(self, now: float) -> float | None:
        """Return when step must be called again, if nothing else happens."""
        if self._escalation is not None:
            if self._escalation.sent is Step.NOTHING:
                return now
            if self._exit is not None or self._escalation.sent is Step.KILL:
                return now + LOOK_AGAIN
            return self._escalation.kill_at
        return self._exit_by if self._exit is None else None

    def fault(self) -> Fault | None:
        """Return why the job failed, or None; for a job that is over."""
        assert self._exit is not None, "asked before the child was reaped"
        reason = self._escalation.reason if self._escalation else ""
        return judge(self._told, self._exit, pid=self.pid, reason=reason)
