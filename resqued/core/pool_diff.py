"""How many slots to add and remove, which to replace first, and how a canary does.

Used by the master.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from resqued.core.pool_key import PoolKey


class Diff(NamedTuple):
    """How many slots to add and to remove, by pool."""

    add: dict[PoolKey, int]
    remove: dict[PoolKey, int]


def diff(wanted: Mapping[PoolKey, int], have: Mapping[PoolKey, int]) -> Diff:
    """Return the changes that make `have` equal to `wanted`.

    Both are numbers of slots by pool.
    """
    add: dict[PoolKey, int] = {}
    remove: dict[PoolKey, int] = {}
    for pool in [*wanted, *(p for p in have if p not in wanted)]:
        change = wanted.get(pool, 0) - have.get(pool, 0)
        if change > 0:
            add[pool] = change
        elif change < 0:
            remove[pool] = -change
    return Diff(add, remove)


class SlotState(NamedTuple):
    """What the order of removal depends on, for one slot.

    `since` is when the worker began its job or became idle, on any clock.
    """

    is_vacant: bool
    is_busy: bool
    since: float


def removal_order(slots: Sequence[SlotState]) -> list[int]:
    """Return the indexes of the slots in the order in which to remove them.

    Vacant slots come first, then idle workers, then busy ones; within each group the
    longest-standing first, because the oldest job is likely to end first.
    """
    return sorted(
        range(len(slots)),
        key=lambda n: (not slots[n].is_vacant, slots[n].is_busy, slots[n].since),
    )


class Trial(Enum):
    """The verdict on a new generation that one worker tries out."""

    OPEN = "open"
    PASSED = "passed"
    WORSE = "worse"


# How far a failure rate may differ by chance, in standard deviations.
_CHANCE = 2.0


def judge_canary(
    jobs: int, *, done: int, failed: int, others_done: int, others_failed: int
) -> Trial:
    """Return the verdict on a canary that is to run `jobs` jobs.

    Allowed failures: those expected at the other workers' rate, plus two standard
    deviations, plus one (none if jobs == 1). The canary is WORSE as soon as it has
    more failures than that, since later jobs cannot undo them, and PASSED when it
    has done all its jobs. `done` and `failed` are the canary's counts, `others_done`
    and `others_failed` those of the other workers; `failed` is a part of `done`.
    """
    rate = others_failed / others_done if others_done else 0.0
    runs = max(done, jobs)
    chance = _CHANCE * math.sqrt(rate * (1 - rate) * runs)
    if failed > rate * runs + chance + (runs > 1):
        return Trial.WORSE
    return Trial.PASSED if done >= jobs else Trial.OPEN
