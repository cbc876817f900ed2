"""Limits of a job: which apply, whether one is exceeded, when to measure again.

Run times are seconds, memory is bytes. None means that the limit is not set here, so
that the one of a wider rule applies; 0 means explicitly unlimited.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

N = TypeVar("N", int, float)

# A job whose memory grows further during its grace period is killed at once when it
# exceeds its limit by this factor.
EXCESS = 1.25
# How fast a job can fill memory on current hardware, in bytes per second.
RATE = 2e9
# The shortest and the longest time between two measurements of a job, in seconds.
SOONEST = 0.05
LATEST = 1.0


class Cause(IntEnum):
    """Why a job is ended from outside: an order, or the limit that it exceeded."""

    ORDER = 0
    RUNTIME = 1
    MEMORY = 2


class Limits(NamedTuple):
    """How long a job may run (seconds), and how much memory it may use (bytes).

    The memory is that of all processes of the job. None: not set; 0: unlimited.
    """

    runtime: float | None = None
    memory: int | None = None

    def with_fallback(self, wider: Limits) -> Limits:
        """Return these limits, with those of `wider` in place of None."""
        if self.runtime is None and self.memory is None:
            return wider  # the usual case, and called for each job
        return Limits(
            wider.runtime if self.runtime is None else self.runtime,
            wider.memory if self.memory is None else self.memory,
        )

    def tightened(self, other: Limits) -> Limits:
        """Return the narrower limit of each kind; neither None nor 0 is one."""
        runtimes = [limits.runtime for limits in (self, other) if limits.runtime]
        memories = [limits.memory for limits in (self, other) if limits.memory]
        return Limits(
            min(runtimes, default=self.runtime), min(memories, default=self.memory)
        )

    def within(self, most: Limits) -> Limits:
        """Return these limits, none of them wider than in `most`; None stays None."""
        if self.runtime is None and self.memory is None:
            return self  # the usual case, and called for each job
        return Limits(
            _narrower(self.runtime, most.runtime), _narrower(self.memory, most.memory)
        )


def _narrower(asked: N | None, most: N | None) -> N | None:
    if asked is None or not most:
        return asked
    return min(asked, most) if asked else most


# UNSET: inherit from a wider rule. NO_LIMITS: explicitly unlimited.
UNSET = Limits()
NO_LIMITS = Limits(0.0, 0)


class Rules(Struct, frozen=True):
    """The limits of a configuration: the default, by queue, and by class of job.

    `most` is what a payload may ask for at most.
    """

    default: Limits = NO_LIMITS
    queues: Mapping[str, Limits] = field(default_factory=dict)
    classes: Mapping[str, Limits] = field(default_factory=dict)
    most: Limits = NO_LIMITS

    def for_pool(self, pool: Limits) -> Rules:
        """Return the rules of one pool, whose own limits go before the default."""
        return replace(self, default=pool.with_fallback(self.default))

    def of(
        self,
        queue: str,
        class_name: str,
        *,
        declared: Limits = UNSET,
        asked: Limits = UNSET,
    ) -> Limits:
        """Return the limits of one job; the most specific rule wins.

        The order is: the payload (`asked`) up to `most`, the configuration of the
        class, the code (`declared`), the configuration of the queue, the pool, the
        default.
        """
        limits = asked.within(self.most).with_fallback(
            self.classes.get(class_name, UNSET)
        )
        limits = limits.with_fallback(declared)
        limits = limits.with_fallback(self.queues.get(queue, UNSET))
        return limits.with_fallback(self.default)

    @property
    def memory(self) -> list[int]:
        """All memory limits of the configuration, in bytes; those of 0 are left out."""
        rules = [self.default, *self.queues.values(), *self.classes.values()]
        return [limits.memory for limits in rules if limits.memory]


def judge(limits: Limits, *, elapsed: float, memory: int) -> Cause | None:
    """Return the limit that a job exceeds, or None.

    `elapsed` is its run time in seconds, `memory` what it uses in bytes.
    """
    if limits.memory and memory > limits.memory:
        return Cause.MEMORY
    return Cause.RUNTIME if exceeds_runtime(limits, elapsed) else None


def exceeds_runtime(limits: Limits, elapsed: float) -> bool:
    """Return True if a job that has run for `elapsed` seconds exceeds its limit."""
    return bool(limits.runtime) and elapsed >= (limits.runtime or 0.0)


def is_excessive(limits: Limits, memory: int) -> bool:
    """Return True if a job exceeds its memory limit so far that it gets no grace."""
    return bool(limits.memory) and memory > EXCESS * (limits.memory or 0)


def look_again(limits: Limits, *, elapsed: float, memory: int) -> float:
    """Return in how many seconds the job could reach one of its limits at the earliest.

    `elapsed` is its run time in seconds, `memory` what it uses in bytes. The result
    is at most LATEST.
    """
    wait = LATEST
    if limits.memory:
        wait = min(wait, max(SOONEST, (limits.memory - memory) / RATE))
    if limits.runtime:
        # At least 1 ms, so that the deadline has passed at the next measurement.
        wait = min(wait, max(0.001, limits.runtime - elapsed))
    return wait
