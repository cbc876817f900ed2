"""What to change in a pool, whom to replace first, and how a canary is judged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.pool_diff import SlotState, Trial, diff, judge_canary, removal_order

COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5))


@given(COUNTS, COUNTS)
def test_the_difference_makes_what_there_is_what_is_wanted(wanted, have):
    change = diff(wanted, have)
    after = Counter(have) + Counter(change.add) - Counter(change.remove)
    assert after == +Counter(wanted)
    assert not set(change.add) & set(change.remove)
    assert diff(after, after) == ({}, {})


def test_the_vacant_go_first_then_the_idle_then_who_has_been_busy_longest():
    seats = [
        SlotState(is_vacant=False, is_busy=True, since=5.0),
        SlotState(is_vacant=False, is_busy=True, since=3.0),
        SlotState(is_vacant=False, is_busy=False, since=9.0),
        SlotState(is_vacant=True, is_busy=False, since=0.0),
    ]
    assert removal_order(seats) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("jobs", "done", "failed", "others", "expected"),
    [
        # Nobody else fails: one failure is chance, the second is not waited upon.
        (20, 0, 0, (100, 0), Trial.OPEN),
        (20, 19, 1, (100, 0), Trial.OPEN),
        (20, 20, 1, (100, 0), Trial.PASSED),
        (20, 2, 2, (100, 0), Trial.WORSE),
        # Half of the others' fail: so may the canary's.
        (20, 12, 12, (100, 50), Trial.OPEN),
        (20, 20, 12, (100, 50), Trial.PASSED),
        (20, 16, 16, (100, 50), Trial.WORSE),
        (20, 20, 20, (100, 100), Trial.PASSED),
        # There is nothing to compare with.
        (20, 20, 0, (0, 0), Trial.PASSED),
        (20, 20, 2, (0, 0), Trial.WORSE),
        # A single run must not fail.
        (1, 1, 1, (100, 0), Trial.WORSE),
        (1, 1, 0, (100, 0), Trial.PASSED),
    ],
)
def test_a_canary_may_fail_as_often_as_the_others_and_chance_allow(
    jobs, done, failed, others, expected
):
    found = judge_canary(
        jobs,
        done=done,
        failed=failed,
        others_done=others[0],
        others_failed=others[1],
    )
    assert found is expected


@given(
    st.integers(1, 200),
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 400),
    st.integers(0, 400),
)
def test_a_canary_that_fails_more_often_is_never_judged_better(
    jobs, done, failed, others_done, others_failed
):
    failed, others_failed = min(failed, done), min(others_failed, others_done)
    others = {"others_done": others_done, "others_failed": others_failed}
    verdicts = [
        judge_canary(jobs, done=done, failed=n, **others)
        for n in range(failed, done + 1)
    ]
    worse = [verdict is Trial.WORSE for verdict in verdicts]
    assert worse == sorted(worse)
