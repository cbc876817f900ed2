"""The pool: what it lacks, whom it can spare, and how a new generation does."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resqued.core.lifecycle import retirement
from resqued.core.pool_diff import (
    Diff,
    SlotState,
    Trial,
    diff,
    judge_canary,
    removal_order,
)
from resqued.core.version import VERSION
from resqued.wire import titles

# Slots


A, R, M = "a", "resque", "{mail}"


@pytest.mark.parametrize(
    ("wanted", "have", "expected"),
    [
        ({}, {}, Diff({}, {})),
        ({"a": 2}, {"a": 2}, Diff({}, {})),
        ({"a": 2}, {}, Diff({"a": 2}, {})),
        ({"a": 3}, {"a": 1}, Diff({"a": 2}, {})),
        ({"a": 1}, {"a": 3}, Diff({}, {"a": 2})),
        ({"a": 0}, {"a": 3}, Diff({}, {"a": 3})),
        ({}, {"a": 3}, Diff({}, {"a": 3})),
        ({"a": 0}, {}, Diff({}, {})),
        ({"a,b": 2, "b": 1}, {"b,a": 1, "b": 2}, Diff({"a,b": 2}, {"b": 1, "b,a": 1})),
        # Pools of one list in two namespaces are two.
        ({(A, R): 1, (A, M): 2}, {(A, R): 2}, Diff({(A, M): 2}, {(A, R): 1})),
        ({(A, M): 1}, {(A, R): 1}, Diff({(A, M): 1}, {(A, R): 1})),
    ],
)
def test_slots_to_add_and_to_take_away(wanted, have, expected):
    assert diff(wanted, have) == expected


counts = st.dictionaries(
    st.sampled_from(["a", "b", "c", "a,b", "*"]), st.integers(0, 9)
)


@given(counts, counts)
def test_what_is_changed_as_told_is_what_is_wanted(wanted, have):
    add, remove = diff(wanted, have)
    after = Counter(have)
    after.update(add)
    after.subtract(remove)
    assert +after == +Counter(wanted)
    assert not any(after[name] < 0 for name in after)
    assert diff(wanted, after) == Diff({}, {})


@given(counts, counts)
def test_no_queue_list_gains_and_loses_slots_at_once(wanted, have):
    add, remove = diff(wanted, have)
    assert not add.keys() & remove.keys()
    assert all(count > 0 for count in [*add.values(), *remove.values()])


# Who goes first

# Since when it is vacant does not matter.
VACANT = SlotState(is_vacant=True, is_busy=False, since=50.0)


def idle(since: float) -> SlotState:
    return SlotState(is_vacant=False, is_busy=False, since=since)


def busy(since: float) -> SlotState:
    return SlotState(is_vacant=False, is_busy=True, since=since)


@pytest.mark.parametrize(
    ("seats", "first"),
    [
        ([busy(1.0), idle(2.0), VACANT], [2, 1, 0]),
        ([busy(9.0), busy(3.0), busy(5.0)], [1, 2, 0]),
        ([idle(9.0), busy(1.0), idle(3.0)], [2, 0, 1]),
        ([VACANT, VACANT, idle(1.0)], [0, 1, 2]),
        ([], []),
    ],
)
def test_the_vacant_go_first_then_the_idle_then_who_began_first(seats, first):
    assert removal_order(seats) == first


seats_of_all_kinds = st.lists(
    st.just(VACANT)
    | st.builds(idle, st.floats(0, 99))
    | st.builds(busy, st.floats(0, 99))
)


@given(seats_of_all_kinds)
def test_everybody_has_a_turn_and_nobody_two(seats):
    assert sorted(removal_order(seats)) == list(range(len(seats)))


@given(seats_of_all_kinds, st.data())
def test_no_job_is_waited_for_while_somebody_can_be_spared(seats, data):
    count = data.draw(st.integers(0, len(seats)))
    taken = [seats[n] for n in removal_order(seats)[:count]]
    left = [seats[n] for n in removal_order(seats)[count:]]
    if any(seat.is_busy for seat in taken):
        assert all(seat.is_busy for seat in left)
    if not all(seat.is_vacant for seat in taken):
        assert not any(seat.is_vacant for seat in left)
    began = [seat.since for seat in taken if seat.is_busy]
    assert all(max(began) <= seat.since for seat in left if began)


# A new generation, tried out by one worker


@pytest.mark.parametrize(
    ("done", "failed", "others", "expected"),
    [
        # Before it has done 20 jobs it has not passed, however well it does.
        (0, 0, (100, 0), Trial.OPEN),
        (19, 0, (100, 0), Trial.OPEN),
        (19, 1, (100, 0), Trial.OPEN),
        (20, 0, (100, 0), Trial.PASSED),
        (25, 0, (100, 0), Trial.PASSED),
        # One failure may be chance, two are not where the others have none.
        (20, 1, (100, 0), Trial.PASSED),
        (20, 2, (100, 0), Trial.WORSE),
        # The others fail too: every tenth job, more or less.
        (20, 5, (100, 10), Trial.PASSED),
        (20, 6, (100, 10), Trial.WORSE),
        # Half of the others' fail, or all of them.
        (20, 12, (100, 50), Trial.PASSED),
        (20, 20, (100, 100), Trial.PASSED),
        # There are no others, or they have done nothing yet.
        (20, 0, (0, 0), Trial.PASSED),
        (20, 1, (0, 0), Trial.PASSED),
        (20, 2, (0, 0), Trial.WORSE),
        # What cannot be made good any more is told before the end.
        (1, 1, (100, 0), Trial.OPEN),
        (2, 2, (100, 0), Trial.WORSE),
        (12, 12, (100, 50), Trial.OPEN),
        (15, 15, (100, 50), Trial.OPEN),
        (16, 16, (100, 50), Trial.WORSE),
        (19, 19, (100, 100), Trial.OPEN),
        # Who has done more than was asked is judged by all of it.
        (40, 8, (100, 10), Trial.PASSED),
        (40, 9, (100, 10), Trial.WORSE),
    ],
)
def test_a_canary_of_twenty_jobs(done, failed, others, expected):
    assert (
        judge_canary(
            20,
            done=done,
            failed=failed,
            others_done=others[0],
            others_failed=others[1],
        )
        is expected
    )


def test_a_canary_of_one_job_may_not_fail_it():
    trial = judge_canary(1, done=1, failed=1, others_done=9, others_failed=0)
    assert trial is Trial.WORSE
    trial = judge_canary(1, done=1, failed=0, others_done=100, others_failed=0)
    assert trial is Trial.PASSED


# How many were done, and how many of these have failed.
tallies = st.tuples(st.integers(0, 200), st.integers(0, 200)).map(
    lambda pair: (max(pair), min(pair))
)


def outcome(jobs, mine, others):
    return judge_canary(
        jobs,
        done=mine[0],
        failed=mine[1],
        others_done=others[0],
        others_failed=others[1],
    )


@given(st.integers(1, 100), tallies, tallies)
def test_nobody_passes_before_the_last_job(more, mine, others):
    jobs = mine[0] + more
    assert outcome(jobs, mine, others) is not Trial.PASSED


@given(st.integers(1, 100), tallies, tallies)
def test_after_the_last_job_there_is_an_answer(jobs, mine, others):
    assume(mine[0] >= jobs)
    assert outcome(jobs, mine, others) is not Trial.OPEN


@given(st.integers(1, 100), tallies, tallies)
def test_who_fails_more_often_than_chance_would_have_it_does_not_pass(
    jobs, mine, others
):
    rate = Fraction(others[1], others[0] or 1)
    expected = rate * mine[0]
    deviation = math.sqrt(rate * (1 - rate) * max(mine[0], jobs))
    if mine[1] >= expected + 2 * deviation + 2:
        assert outcome(jobs, mine, others) is not Trial.PASSED
    if mine[0] >= jobs and mine[1] <= expected:
        assert outcome(jobs, mine, others) is Trial.PASSED


@given(st.integers(1, 100), tallies, tallies)
def test_one_failure_more_never_helps_and_one_of_the_others_never_harms(
    jobs, mine, others
):
    trial = outcome(jobs, mine, others)
    if trial is Trial.WORSE and mine[1] < mine[0]:
        assert outcome(jobs, (mine[0], mine[1] + 1), others) is Trial.WORSE
    if trial is Trial.PASSED and others[1] < others[0]:
        assert outcome(jobs, mine, (others[0], others[1] + 1)) is Trial.PASSED


@given(st.integers(1, 100), tallies, tallies)
def test_a_canary_without_a_failure_is_never_sent_back(jobs, mine, others):
    assert outcome(jobs, (mine[0], 0), others) is not Trial.WORSE


@given(st.integers(1, 100), tallies, tallies)
def test_who_is_sent_back_early_could_not_have_made_it_good(more, mine, others):
    jobs = mine[0] + more
    if outcome(jobs, mine, others) is Trial.WORSE:
        # From now on all goes well.
        assert outcome(jobs, (jobs, mine[1]), others) is Trial.WORSE


# The age of a worker


def test_a_worker_without_a_greatest_age_never_grows_old():
    assert retirement(0.0, 100.0, 0.5) == math.inf


@given(st.floats(0.001, 1e9), st.floats(0, 1e9), st.floats(0, 1))
def test_a_worker_is_old_at_its_age_or_up_to_a_tenth_earlier(max_age, now, jitter):
    assert now + 0.9 * max_age <= retirement(max_age, now, jitter) <= now + max_age
    assert retirement(max_age, now, 0.0) == now + max_age


def test_workers_that_began_together_grow_old_one_after_the_other():
    ages = [retirement(1000.0, 0.0, jitter) for jitter in (1.0, 0.75, 0.25, 0.0)]
    assert ages == pytest.approx([900.0, 925.0, 975.0, 1000.0])


# What ps shows


def test_the_title_of_a_master_tells_its_generation_and_its_workers():
    title = titles.master(generation=2, workers=3, wanted=4, busy=1)
    assert title == "resqued master [gen 2] 3/4 workers, 1 busy"
    title = titles.master(generation=2, workers=3, wanted=4, busy=1, older=2)
    assert title == "resqued master [gen 2] 3/4 workers, 1 busy, 2 of an older gen"


def test_the_title_of_a_zygote_tells_what_it_has_loaded():
    title = titles.zygote(generation=2, modules=("my.jobs", "other"))
    assert title == "resqued zygote [gen 2] my.jobs other"
    assert titles.zygote(generation=1, modules=()) == "resqued zygote [gen 1]"


def test_a_worker_that_waits_for_its_last_job_is_known_to_ruby_as_one():
    title = titles.quitting(4711, 2)
    assert title == f"resque-{VERSION}: Quitting after 4711 [gen 2]"


@pytest.mark.parametrize(
    "title",
    [
        titles.master(generation=1, workers=1, wanted=1, busy=0),
        titles.zygote(generation=1, modules=("my.jobs",)),
    ],
)
def test_master_and_zygote_are_not_taken_for_workers(title):
    assert not title.startswith("resque-")
