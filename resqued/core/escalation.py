"""Ending a job: terminate, wait the grace, kill. As data, not as a sleep."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What to send now."""

    NOTHING = 0
    TERMINATE = 1
    KILL = 2


@dataclass(frozen=True, slots=True)
class Escalation:
    """The ending of one job: when it was asked for, and how far it has come."""

    asked_at: float
    grace: float
    reason: str
    sent: Step = Step.NOTHING

    def due(self, now: float) -> Step:
        """Return the step that is due and not sent yet."""
        if now >= self.kill_at:
            return Step.KILL if self.sent is not Step.KILL else Step.NOTHING
        return Step.TERMINATE if self.sent is Step.NOTHING else Step.NOTHING

    @property
    def kill_at(self) -> float:
        """When patience ends, on the clock that asked_at was read from."""
        return self.asked_at + self.grace
