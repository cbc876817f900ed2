"""What the lanes of the suite make of what came of their tests."""

from __future__ import annotations

from dataclasses import replace

from tests.support.lanes import MOST_AGAIN, Lane, may_run_again, summary

GOOD = Lane("parallel", code=0, seconds=60.4, passed=10, skipped=1, failed=())
BAD = replace(GOOD, code=1, passed=8, failed=("a", "b"))
ALONE = Lane("alone", code=0, seconds=9, passed=3, skipped=0, failed=())


def test_lanes_without_a_failure_pass() -> None:
    text, is_well = summary([GOOD, ALONE])
    assert is_well
    assert text.splitlines() == [
        "parallel: 10 passed, 0 failed, 1 skipped in 60 s",
        "alone: 3 passed, 0 failed, 0 skipped in 9 s",
        "13 passed, 0 failed, 0 flaky",
    ]


def test_a_failure_fails_the_run() -> None:
    text, is_well = summary([BAD, ALONE])
    assert not is_well
    assert text.splitlines()[-3:] == [
        "failed: a",
        "failed: b",
        "11 passed, 2 failed, 0 flaky",
    ]


def test_what_passes_alone_is_flaky_and_no_failure() -> None:
    again = replace(GOOD, name="again", passed=2)
    text, is_well = summary([BAD, ALONE], again)
    assert is_well
    assert text.splitlines()[-3:] == [
        "flaky: a: failed beside others, and passed alone",
        "flaky: b: failed beside others, and passed alone",
        "13 passed, 0 failed, 2 flaky",
    ]


def test_what_fails_twice_has_failed() -> None:
    again = replace(BAD, name="again", passed=1, failed=("b",))
    text, is_well = summary([BAD, ALONE], again)
    assert not is_well
    assert text.splitlines()[-3:] == [
        "flaky: a: failed beside others, and passed alone",
        "failed: b",
        "12 passed, 1 failed, 1 flaky",
    ]


def test_a_second_run_that_does_not_get_anywhere_excuses_nothing() -> None:
    nothing = replace(GOOD, name="again", code=5, passed=0)
    text, is_well = summary([BAD, ALONE], nothing)
    assert not is_well
    assert text.splitlines()[-1] == "11 passed, 2 failed, 0 flaky"


def test_a_failure_of_another_lane_is_not_excused() -> None:
    again = replace(GOOD, name="again", passed=2)
    _, is_well = summary([BAD, replace(ALONE, code=1, failed=("c",))], again)
    assert not is_well


def test_a_lane_that_has_run_no_test_fails_the_run() -> None:
    text, is_well = summary([GOOD, replace(ALONE, code=5, passed=0)])
    assert not is_well
    assert "it ended with exit code 5" in text


def test_only_a_few_failures_are_looked_at_again() -> None:
    many = tuple(map(str, range(MOST_AGAIN + 1)))
    assert may_run_again(BAD)
    assert not may_run_again(GOOD)
    assert not may_run_again(replace(BAD, failed=many))
    # pytest itself broke: nobody knows what else is wrong.
    assert not may_run_again(replace(BAD, code=3))
