"""The buckets by which durations of runs are counted.

A histogram is a list of BUCKETS numbers: how many runs took at most BOUNDS[0]
milliseconds, how many of the others at most BOUNDS[1], and so on; the last one counts
those that took longer than all bounds. The bounds are part of what Redis keeps, so they
cannot change without another name for the keys.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# In milliseconds, from 20 ms to 1 h: each is 1.5 to 3 times the one before.
BOUNDS = (
    *(20, 30, 50, 80, 130),
    *(200, 300, 500, 800, 1_300),
    *(2_000, 3_000, 5_000, 8_000, 13_000),
    *(20_000, 30_000, 50_000, 80_000, 130_000),
    *(200_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
BUCKETS = len(BOUNDS) + 1


def bucket_of(milliseconds: int) -> int:
    """Return the number of the bucket that counts a duration."""
    return bisect_left(BOUNDS, milliseconds)


def quantile(histogram: Sequence[int], share: float) -> float | None:
    """Return the milliseconds that this share of the runs took at most.

    It is the bound of a bucket; infinite if that is the last one, None without runs.
    """
    runs = sum(histogram)
    if not runs:
        return None
    seen = 0
    for number, bound in zip(histogram, BOUNDS, strict=False):
        seen += number
        if seen >= share * runs:
            return bound
    return float("inf")


def total(histograms: Sequence[Sequence[int]]) -> list[int]:
    """Return the sum of histograms; zeros if there are none."""
    return [sum(column) for column in zip([0] * BUCKETS, *histograms, strict=True)]
