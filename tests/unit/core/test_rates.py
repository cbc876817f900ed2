"""How fast queues grow or drain, in words."""

from __future__ import annotations

import pytest

from resqued.core.rates import per_minute, queue_trend, recent_rate


@pytest.mark.parametrize(
    ("waiting", "waits", "done", "words"),
    [
        (0, [5, 4, 3, 0], [1, 1, 1, 1], ""),
        (640, [280, 400, 520, 640], [10, 10, 10, 10], "grows by 120/min"),
        (15, [0, 0, 5, 15], [0, 0, 0, 0], "grows by 5/min"),
        (22, [0, 0, 7, 22, 30], [0, 0, 0, 0, 0], "grows by 8.2/min"),
        (400, [700, 600, 500, 400], [100] * 4, "drains in ~4 min"),
        (30, [210, 150, 90, 30], [60] * 4, "drains in ~30 s"),
        (1, [200, 200, 100, 1], [60] * 4, "drains in ~1 s"),
        (60_000, [60_300, 60_200, 60_100, 60_000], [200] * 4, "~5 h at this rate"),
        (100_000, [100_600, None, None, 100_000], [0] * 4, "drains in ~8 h"),
        (
            9_000_000,
            [0, 3_000_000, 6_000_000, 9_000_000],
            [9] * 4,
            "grows by 3,000,000/min",
        ),
        # Up and down, and as many at the end: no growth of the two last readings.
        (90, [80, 99, 71, 95, 66, 98, 74, 90], [60] * 8, "~2 min at this rate"),
        (12, [60, 90, 66, 98, 71, 99, 64, 12], [60] * 8, "~12 s at this rate"),
        # Jobs that came together two minutes ago.
        (9_000, [5] * 13 + [9_000] * 2, [60] * 15, "grows by 418/min"),
        (500, [500] * 4, [50] * 4, "~10 min at this rate"),
        (500, [500, None, None, 500], [None, 50, None, None], "~10 min at this rate"),
        # Before the first reading nobody has counted.
        (500, [None, None, *[500] * 4], [0, 0, *[50] * 4], "~10 min at this rate"),
        (500, [500] * 4, [0] * 4, "nothing is done"),
        # Too little is known, or nothing new.
        (86_400 * 3, [None] * 4, [60] * 4, ""),
        (500, [None, None], [None], ""),
        (500, [], [], ""),
        (500, [500], [0], ""),
        (500, [900, 700, 500], [200] * 3, ""),
        (500, [900, 800, 700, 600, *[None] * 4], [200] * 8, ""),
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


def test_a_rate_is_of_the_minutes_of_which_something_is_known() -> None:
    assert recent_rate([0, 0, 60, 60, 60, 60], [None, None, 1, 1, 1, 1]) == 60
    assert recent_rate([0] * 6, [1] * 6) == 0
    assert recent_rate([0] * 6, [None] * 6) is None
    assert recent_rate([9] * 3, [1] * 3) is None


def test_counts_become_a_rate() -> None:
    assert per_minute([10, None, 20]) == 15
    assert per_minute([300], step=300) == 60
    assert per_minute([None]) is None
