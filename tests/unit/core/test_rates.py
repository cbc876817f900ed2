"""How fast queues grow or drain, in words."""

from __future__ import annotations

import pytest

from resqued.core.rates import per_minute, queue_trend


@pytest.mark.parametrize(
    ("waiting", "waits", "done", "words"),
    [
        (0, [5, 0], [1, 1], ""),
        (1_000, [400, 520, 640], [10, 10, 10], "grows by 120/min"),
        (15, [0, 5, 15], [0, 0, 0], "grows by 7.5/min"),
        (400, [600, 500, 400], [100, 100, 100], "drains in ~4 min"),
        (30, [150, 90, 30], [60, 60, 60], "drains in ~30 s"),
        (1, [200, 100, 1], [60, 60, 60], "drains in ~1 s"),
        (60_000, [60_200, 60_100, 60_000], [200, 200, 200], "~5 h at this rate"),
        (100_000, [100_400, 100_200], [0, 0], "drains in ~8 h"),
        (
            10_000_000,
            [0, 9, 10_000_000],
            [9, 9, 9],
            "grows by 5,000,000/min",
        ),
        (500, [500, 500], [50, 50], "~10 min at this rate"),
        (500, [500, None, 500], [None, 50, None], "~10 min at this rate"),
        (86_400 * 3, [None], [60], "~3 days at this rate"),
        (500, [500, 500], [0, 0], "nothing is done"),
        (500, [None, None], [None], ""),
        (500, [], [], ""),
        (500, [500], [0], ""),
    ],
)
def test_a_trend_in_words(
    waiting: int, waits: list[int | None], done: list[int | None], words: str
) -> None:
    assert queue_trend(waiting, waits, done).words == words


def test_a_longer_step_is_no_faster_rate() -> None:
    slow = queue_trend(600, [600, 600], [300, 300], step=300)
    assert slow.words == "~10 min at this rate"
    assert queue_trend(600, [0, 600], [0, 0], step=300).words == "grows by 120/min"


def test_counts_become_a_rate() -> None:
    assert per_minute([10, None, 20]) == 15
    assert per_minute([300], step=300) == 60
    assert per_minute([None]) is None
