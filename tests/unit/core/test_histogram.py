"""The buckets of durations."""

from __future__ import annotations

from resqued.core.histogram import BUCKETS, quantile


def test_a_quantile_is_the_bound_of_a_bucket() -> None:
    histogram = [0] * BUCKETS
    assert quantile(histogram, 0.5) is None
    histogram[0], histogram[3] = 90, 10
    assert quantile(histogram, 0.5) == 20
    assert quantile(histogram, 0.9) == 20
    assert quantile(histogram, 0.95) == 80
    histogram[-1] = 900
    assert quantile(histogram, 0.5) == float("inf")
