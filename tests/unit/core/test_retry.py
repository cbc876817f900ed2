"""When a failed job is tried again: tables, and what holds for all numbers."""

from __future__ import annotations

import random

import pytest

from resqued.core.retry import LONGEST_DELAY, Spacing, is_wanted, matches

NAMES = ["ConnectionResetError", "ConnectionError", "OSError", "Exception"]
OURS = ["resqued.errors.JobTimeout", "resqued.errors.JobTerminated", "SystemExit"]


@pytest.mark.parametrize(
    ("spacing", "attempt", "age", "delay"),
    [
        (Spacing(3, 10, 2, 0), 1, 0, 10),
        (Spacing(3, 10, 2, 0), 2, 0, 20),
        (Spacing(3, 10, 2, 0), 3, 0, 40),
        (Spacing(3, 10, 2, 0), 4, 0, None),
        (Spacing(0, 10, 2, 0), 1, 0, None),
        (Spacing(9, 10, 2, 0, max_delay=30), 3, 0, 30),
        (Spacing(9, 0, 2, 0), 5, 0, 0),
        (Spacing(9, 10, 1, 0), 5, 0, 10),
        (Spacing(9, 10, 0.5, 0), 3, 0, 2.5),
        (Spacing(9, 10, 2, 0, within=60), 1, 50, 10),
        (Spacing(9, 10, 2, 0, within=60), 1, 51, None),
        (Spacing(10_000, 10, 1000, 0), 9_999, 0, 86_400),
        (Spacing(10_000, 0, 1000, 0), 9_999, 0, 0),
        # As a file of TOML or the environment may give them: not whole numbers.
        (Spacing(10_000, 10.0, 1000.0, 0.0), 9_999, 0, 86_400),
        (Spacing(10_000, 0.0, 1000.0, 0.0), 9_999, 0, 0),
    ],
)
def test_delays(spacing: Spacing, attempt: int, age: float, delay: float) -> None:
    assert spacing.after(attempt, age=age, chance=0.5) == delay


@pytest.mark.parametrize(("chance", "delay"), [(0, 90), (0.5, 100), (1, 110)])
def test_jitter_goes_both_ways(chance: float, delay: float) -> None:
    spacing = Spacing(1, 100, 2, 0.1)
    assert spacing.after(1, age=0, chance=chance) == pytest.approx(delay)


@pytest.mark.parametrize("seed", range(200))
def test_attempts_end_and_delays_are_times(seed: int) -> None:
    """Whatever the numbers are: times + 1 attempts at most, each within its bounds."""
    chance = random.Random(seed)
    spacing = Spacing(
        chance.randrange(20),
        chance.choice([0, 0.5, 10, 1e6]),
        chance.choice([0.5, 1, 2, 1000]),
        chance.choice([0, 0.1, 1]),
        chance.choice([1, 60, 86_400, 1e12]),
        chance.choice([0, 100]),
    )
    age, attempts = 0.0, 1
    while True:
        delay = spacing.after(attempts, age=age, chance=chance.random())
        if delay is None:
            break
        assert 0 <= delay <= min(2 * spacing.max_delay, LONGEST_DELAY)
        age += delay
        assert not spacing.within or age <= spacing.within
        attempts += 1
    assert attempts <= spacing.times + 1
    if not spacing.within:
        assert attempts == spacing.times + 1


@pytest.mark.parametrize(
    ("entry", "names", "is_one"),
    [
        ("ConnectionError", NAMES, True),
        ("OSError", NAMES, True),
        ("ValueError", NAMES, False),
        ("JobTimeout", OURS, True),
        ("resqued.errors.JobTimeout", OURS, True),
        ("errors.JobTimeout", OURS, False),
        ("Exception", OURS, False),
    ],
)
def test_names_match(entry: str, names: list[str], is_one: bool) -> None:
    assert matches(entry, names) is is_one


def test_unless_goes_before_on() -> None:
    assert is_wanted(NAMES, ["OSError"], ["TimeoutError"])
    assert not is_wanted(NAMES, ["OSError"], ["ConnectionError"])
    assert not is_wanted(NAMES, [], [])
