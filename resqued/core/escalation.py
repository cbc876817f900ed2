"""The steps that end a job: SIGTERM, a grace period, SIGKILL.

The steps are computed from the time, so that no process has to sleep in between.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Step(Enum):
    """The signal to send now."""

    NOTHING = 0
    TERMINATE = 1
    KILL = 2


class Escalation(Struct, frozen=True):
    """The state of ending one job.

    `asked_at` is when the end was asked for, on the caller's clock; `grace` is the
    time in seconds between the two signals; `sent` is the last step that was taken.
    """

    asked_at: float
    grace: float
    reason: str
    sent: Step = Step.NOTHING

    def due(self, now: float) -> Step:
        """Return the step that is due at the time `now` and was not taken yet."""
        if now >= self.kill_at:
            return Step.KILL if self.sent is not Step.KILL else Step.NOTHING
        return Step.TERMINATE if self.sent is Step.NOTHING else Step.NOTHING

    @property
    def kill_at(self) -> float:
        """The time at which SIGKILL is due, on the clock of `asked_at`."""
        return self.asked_at + self.grace
