"""Decisions about limits: which holds, whether it is exceeded, when to look again."""

from __future__ import annotations

import signal

import pytest

from resqued.core.exit_status import Exit
from resqued.core.limits import (
    LATEST,
    NO_LIMITS,
    RATE,
    SOONEST,
    UNSET,
    Cause,
    Limits,
    Rules,
    is_excessive,
    judge,
    look_again,
)
from resqued.wire.outcome import ChildReport, Termination, frames_of_job
from resqued.wire.outcome import judge as judge_run

MB = 1 << 20
RULES = Rules(
    Limits(60.0, 600 * MB),
    {"low": Limits(50.0, None)},
    {"Big": Limits(None, 900 * MB)},
)


@pytest.mark.parametrize(
    ("queue", "name", "declared", "asked", "expected"),
    [
        ("any", "Any", UNSET, UNSET, Limits(60.0, 600 * MB)),
        ("low", "Any", UNSET, UNSET, Limits(50.0, 600 * MB)),
        ("low", "Any", Limits(40.0), UNSET, Limits(40.0, 600 * MB)),
        ("low", "Big", Limits(40.0, MB), UNSET, Limits(40.0, 900 * MB)),
        ("low", "Big", Limits(40.0, MB), Limits(None, 7), Limits(40.0, 7)),
        ("low", "Big", Limits(40.0, MB), NO_LIMITS, NO_LIMITS),
    ],
)
def test_each_limit_is_the_most_specific_that_says_something(
    queue: str, name: str, declared: Limits, asked: Limits, expected: Limits
) -> None:
    assert RULES.of(queue, name, declared=declared, asked=asked) == expected


def test_a_pool_stands_before_the_default_and_behind_everything_else() -> None:
    for_pool = RULES.for_pool(Limits(5.0, None))
    assert for_pool.of("any", "Any") == Limits(5.0, 600 * MB)
    assert for_pool.of("low", "Any") == Limits(50.0, 600 * MB)


def test_the_limits_of_memory_are_those_that_limit() -> None:
    rules = Rules(NO_LIMITS, {"low": Limits(1.0, 5 * MB)}, {"Big": Limits(1.0, 0)})
    assert rules.memory == [5 * MB]
    assert Rules().memory == []


@pytest.mark.parametrize(
    ("limits", "elapsed", "memory", "expected"),
    [
        (NO_LIMITS, 1e9, 1 << 60, None),
        (UNSET, 1e9, 1 << 60, None),
        (Limits(5.0, 0), 4.99, 1 << 60, None),
        (Limits(5.0, 0), 5.0, 0, Cause.RUNTIME),
        (Limits(0, MB), 1e9, MB, None),
        (Limits(0, MB), 0, MB + 1, Cause.MEMORY),
        (Limits(5.0, MB), 9, MB + 1, Cause.MEMORY),
    ],
)
def test_whether_a_limit_is_exceeded(
    limits: Limits, elapsed: float, memory: int, expected: Cause | None
) -> None:
    assert judge(limits, elapsed=elapsed, memory=memory) is expected


def test_no_grace_is_due_to_one_that_is_a_quarter_above_its_memory() -> None:
    limits = Limits(None, 100 * MB)
    assert not is_excessive(limits, 125 * MB)
    assert is_excessive(limits, 125 * MB + 1)
    assert not is_excessive(NO_LIMITS, 1 << 60)


def test_nobody_can_be_far_beyond_a_limit_at_the_next_look() -> None:
    assert look_again(NO_LIMITS, elapsed=0, memory=0) == LATEST
    assert look_again(Limits(100.0), elapsed=99.75, memory=0) == 0.25
    # A deadline that has passed meanwhile is due at once, not in the past.
    assert 0 < look_again(Limits(100.0), elapsed=101, memory=0) < 0.01
    far, near = Limits(0, int(RATE)), Limits(0, MB)
    assert look_again(far, elapsed=0, memory=int(RATE / 2)) == pytest.approx(0.5)
    assert look_again(near, elapsed=0, memory=MB) == SOONEST


STACK = (
    "Current thread 0x1 (most recent call first):",
    '  File "/app/jobs.py", line 3 in perform',
    '  File "/lib/resqued/child.py", line 9 in _attempt',
    '  File "/lib/resqued/zygote.py", line 9 in main',
    '  File "<frozen runpy>", line 88 in _run_code',
)


def test_a_stack_is_that_of_the_job() -> None:
    assert frames_of_job(STACK, "/lib/resqued/") == STACK[:2]


def test_a_failure_says_if_there_is_no_stack() -> None:
    def error(stack: tuple[str, ...], told: ChildReport | None = None) -> str:
        reason = Termination("too long", Cause.RUNTIME, stack)
        fault = judge_run(told, Exit(-signal.SIGKILL), pid=7, reason=reason)
        return fault.error if fault else ""

    assert error(STACK).startswith("too long; child process received")
    assert "no stack" not in error(STACK)
    assert error(()).endswith("; no stack: no signal was taken")
    assert error((), ChildReport()) == ""
