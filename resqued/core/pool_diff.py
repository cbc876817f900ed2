"""Which workers a pool lacks and which it has too many of; whom to replace first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple


class Diff(NamedTuple):
    """What is to change: how many slots to add and to take away, by queue list."""

    add: dict[str, int]
    remove: dict[str, int]


def diff(wanted: Mapping[str, int], have: Mapping[str, int]) -> Diff:
    """Return what makes `have` equal `wanted`."""
    add: dict[str, int] = {}
    remove: dict[str, int] = {}
    for name in [*wanted, *(n for n in have if n not in wanted)]:
        change = wanted.get(name, 0) - have.get(name, 0)
        if change > 0:
            add[name] = change
        elif change < 0:
            remove[name] = -change
    return Diff(add, remove)


class SlotState(NamedTuple):
    """A slot as far as it matters for who goes first.

    `since`: when its worker began what it does; smaller is longer ago.
    """

    is_vacant: bool
    is_busy: bool
    since: float


def removal_order(slots: Sequence[SlotState]) -> list[int]:
    """Return the numbers of the slots in the order in which to take them away.

    Nobody is disturbed by the loss of a vacant slot; an idle worker has nothing to
    finish; of the busy, who began first is likely to be done first.
    """
    return sorted(
        range(len(slots)),
        key=lambda n: (not slots[n].is_vacant, slots[n].is_busy, slots[n].since),
    )


class Trial(Enum):
    """How a new generation that is tried out by one worker does."""

    OPEN = "open"
    PASSED = "passed"
    WORSE = "worse"


# How far a rate may be off by chance, in standard deviations.
_CHANCE = 2.0


def judge_canary(
    jobs: int, *, done: int, failed: int, others_done: int, others_failed: int
) -> Trial:
    """Judge a canary: in so many jobs it may fail no more often than the others.

    Of `jobs` runs as many may fail as with the others' rate, what chance adds to
    that, and one more; of a single run, none. It is worse as soon as these failures
    are too many, for what comes after does not undo them.
    """
    rate = others_failed / others_done if others_done else 0.0
    runs = max(done, jobs)
    chance = _CHANCE * math.sqrt(rate * (1 - rate) * runs)
    if failed > rate * runs + chance + (runs > 1):
        return Trial.WORSE
    return Trial.PASSED if done >= jobs else Trial.OPEN
