"""Statistics of the figures."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the smallest and the largest value of some rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of the rounds of one measurement."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that a share of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slope(fewer: tuple[int, float], more: tuple[int, float]) -> float:
    """Return the increase per job between two pairs of (count, value).

    Constant costs, such as the start, have no effect.
    """
    return (more[1] - fewer[1]) / (more[0] - fewer[0])
