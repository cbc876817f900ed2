"""Limits of a job: which are in force, whether one is exceeded, when to look again.

Seconds and bytes. A limit of None says nothing, so that a wider one counts; 0 says
that there is none, whatever the wider ones say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

# A job that goes on growing while it is given its grace is not waited for: at a
# quarter above its limit it is killed.
EXCESS = 1.25
# What a job that fills memory as fast as it can gets in a second, on hardware of
# today; so soon could it be at its limit.
RATE = 2e9
SOONEST = 0.05
LATEST = 1.0


class Cause(IntEnum):
    """Why a job is ended from outside."""

    ORDER = 0
    RUNTIME = 1
    MEMORY = 2


class Limits(NamedTuple):
    """How long a job may run, and how much memory its processes may use."""

    runtime: float | None = None
    memory: int | None = None

    def with_fallback(self, wider: Limits) -> Limits:
        """Return these limits, and the wider ones where these say nothing."""
        if self.runtime is None and self.memory is None:
            return wider  # as most do, for each job
        return Limits(
            wider.runtime if self.runtime is None else self.runtime,
            wider.memory if self.memory is None else self.memory,
        )


# What says nothing, and what says that there are none.
UNSET = Limits()
NO_LIMITS = Limits(0.0, 0)


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a configuration: in general, by queue, and by class of job."""

    default: Limits = NO_LIMITS
    queues: Mapping[str, Limits] = field(default_factory=dict)
    classes: Mapping[str, Limits] = field(default_factory=dict)

    def for_pool(self, pool: Limits) -> Rules:
        """Return the rules of one pool, whose own limits stand before the default."""
        return Rules(pool.with_fallback(self.default), self.queues, self.classes)

    def of(
        self,
        queue: str,
        class_name: str,
        *,
        declared: Limits = UNSET,
        asked: Limits = UNSET,
    ) -> Limits:
        """Return the limits of one job; what is most specific wins.

        In this order: what its payload asks, the configuration of its class, what
        its code declares, its queue, the pool, the default.
        """
        found = asked.with_fallback(self.classes.get(class_name, UNSET))
        found = found.with_fallback(declared)
        found = found.with_fallback(self.queues.get(queue, UNSET))
        return found.with_fallback(self.default)

    @property
    def memory(self) -> list[int]:
        """Every limit of memory that there is."""
        every = [self.default, *self.queues.values(), *self.classes.values()]
        return [limits.memory for limits in every if limits.memory]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """Return the rules that a message holds."""
        return cls(
            Limits(*values["default"]),
            {name: Limits(*pair) for name, pair in values["queues"].items()},
            {name: Limits(*pair) for name, pair in values["classes"].items()},
        )


def judge(limits: Limits, *, elapsed: float, memory: int) -> Cause | None:
    """Return the limit that is exceeded, or None."""
    if limits.memory and memory > limits.memory:
        return Cause.MEMORY
    if limits.runtime and elapsed >= limits.runtime:
        return Cause.RUNTIME
    return None


def is_excessive(limits: Limits, memory: int) -> bool:
    """Say whether a job is so far above its memory that no grace is due."""
    return bool(limits.memory) and memory > EXCESS * (limits.memory or 0)


def look_again(limits: Limits, *, elapsed: float, memory: int) -> float:
    """Return in how many seconds the job could have come to one of its limits."""
    wait = LATEST
    if limits.memory:
        wait = min(wait, max(SOONEST, (limits.memory - memory) / RATE))
    if limits.runtime:
        # A moment late, not early: the deadline itself must have passed.
        wait = min(wait, max(0.001, limits.runtime - elapsed))
    return wait
