"""The history: buckets, places in strings, sums, and the plan of a rollup."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from resqued.core.histogram import BOUNDS, BUCKETS, bucket_of, total
from resqued.core.history_layout import (
    DAY,
    HISTOGRAM,
    HOUR,
    LARGEST,
    MINUTE,
    HistoryPeriod,
    added,
    class_scope,
    coarser,
    day_of,
    month_of,
    numbers,
    packed,
    periods,
    queue_scope,
    quiet_places,
    readings,
    rest_of,
)
from resqued.core.history_plan import plan_rollup
from resqued.core.run_tally import RunTally


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# Buckets


def test_there_are_26_buckets_from_20_ms_to_an_hour() -> None:
    assert BUCKETS == 26
    assert (BOUNDS[0], BOUNDS[-1]) == (20, 3_600_000)
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert all(1.4 < after / before <= 3 for before, after in pairwise(BOUNDS))


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [
        *((0, 0), (20, 0), (21, 1), (30, 1), (31, 2), (1_000, 9), (1_300, 9)),
        *((3_600_000, 24), (3_600_001, 25), (10**12, 25)),
    ],
)
def test_a_duration_is_counted_at_the_first_bound_that_is_not_less(
    milliseconds: int, bucket: int
) -> None:
    assert bucket_of(milliseconds) == bucket


def test_the_sum_of_histograms_and_of_none() -> None:
    assert total([]) == [0] * BUCKETS
    assert total([[1] * BUCKETS, [2] * BUCKETS]) == [3] * BUCKETS


# Names


@pytest.mark.parametrize(
    ("scope", "rest"),
    [
        (class_scope("Report"), "c:*"),
        (class_scope("a:done"), "c:*"),
        (queue_scope("high"), "q:*"),
    ],
)
def test_the_rest_has_a_scope_of_its_own(scope: str, rest: str) -> None:
    assert rest_of(scope) == rest


@pytest.mark.parametrize("name", ["x" * 500, "é" * 150, "\udcff" * 300, "😀" * 60])
def test_long_names_are_cut_to_200_bytes(name: str) -> None:
    scope = class_scope(name)
    assert len(scope.encode("utf-8", "surrogateescape")) <= 202
    assert class_scope("é" * 100) == f"c:{'é' * 100}"


# Places


@pytest.mark.parametrize(
    ("time", "name", "minute", "histogram"),
    [
        ("2026-11-28T00:00:00", "20261128", 0, 0),
        ("2026-11-28T00:00:59", "20261128", 0, 0),
        ("2026-11-28T13:07:30", "20261128", 787, 13 * 26),
        ("2026-12-31T23:59:59", "20261231", 1439, 23 * 26),
    ],
)
def test_a_day_has_minutes_and_a_histogram_for_each_hour(
    time: str, name: str, minute: int, histogram: int
) -> None:
    day = day_of(at(time))
    assert day.name == name
    assert day.place("done", at(time)) == minute
    assert day.place(HISTOGRAM, at(time)) == histogram
    assert day.end - day.start == DAY


@pytest.mark.parametrize(
    ("time", "name", "hour", "histogram", "days"),
    [
        ("2026-11-01T00:00:00", "h:202611", 0, 0, 30),
        ("2026-11-28T13:07:30", "h:202611", 27 * 24 + 13, 27 * 26, 30),
        ("2026-12-31T23:59:59", "h:202612", 743, 30 * 26, 31),
        ("2028-02-29T01:00:00", "h:202802", 28 * 24 + 1, 28 * 26, 29),
    ],
)
def test_a_month_has_hours_and_a_histogram_for_each_day(
    time: str, name: str, hour: int, histogram: int, days: int
) -> None:
    month = month_of(at(time))
    assert month.name == name
    assert month.place("done", at(time)) == hour
    assert month.place(HISTOGRAM, at(time)) == histogram
    assert month.end - month.start == days * DAY


def test_the_periods_of_a_time_follow_each_other() -> None:
    start, end = int(at("2025-12-30T05:00:00")), int(at("2026-03-01T00:00:00"))
    days = list(periods(start, end, months=False))
    months = list(periods(start, end, months=True))
    assert (days[0].name, days[-1].name, len(days)) == ("20251230", "20260228", 61)
    assert [one.name for one in months] == ["h:202512", "h:202601", "h:202602"]
    for found in (days, months):
        assert all(a.end == b.start for a, b in pairwise(found))


# Numbers


def test_numbers_come_back_and_what_was_never_written_is_zero() -> None:
    assert numbers(packed([1, 2, 3]), 3) == [1, 2, 3]
    assert numbers(packed([1, 2, 3])[:9], 4) == [1, 2, 0, 0]
    assert numbers(packed([1 << 40], 8), 2, 8) == [1 << 40, 0]
    assert numbers(packed([1 << 40]), 1) == [LARGEST]


@pytest.mark.parametrize(
    ("stored", "value", "sums"),
    [
        ([1, 2, 3, 4], "done", [3, 7]),
        ([0, 0, 0, 4], "ms", [0, 4]),
        # Readings are stored plus one: 0, 2; none, 4; none at all.
        ([1, 3, 0, 5], "wait", [2, 5]),
        ([0, 0, 1, 1], "busy", [0, 1]),
    ],
)
def test_coarser_steps_sum_counts_and_average_readings(
    stored: list[int], value: str, sums: list[int]
) -> None:
    assert coarser(stored, 2, value) == sums


def test_a_reading_that_was_not_made_is_no_zero() -> None:
    assert readings([0, 1, 6], "wait") == [None, 0, 5]
    assert readings([0, 1, 6], "done") == [0, 1, 6]


def test_sums_of_readings_leave_out_what_is_not_known() -> None:
    assert added([0, 1, 4], [0, 3, 0], "wait") == [0, 3, 4]
    assert added([0, 1, 4], [0, 3, 0], "done") == [0, 4, 4]


# The counts of a worker


def test_a_tally_counts_by_class_and_queue() -> None:
    tally = RunTally()
    assert not tally
    tally.count("A", "high", 25, has_failed=False)
    tally.count("A", "low", 5, has_failed=True)
    assert tally
    assert tally.classes == {"A": [2, 1, 30, 1, 1, *[0] * 24]}
    assert tally.queues == {"high": 1, "low": 1}
    tally.clear()
    assert not tally


def test_a_tally_has_at_most_200_names_and_one_for_the_rest() -> None:
    tally = RunTally()
    for number in range(1000):
        tally.count(f"C{number}", f"q{number}", 1, has_failed=False)
    tally.count("C0", "q0", 1, has_failed=False)
    assert len(tally.classes) == len(tally.queues) == 201
    assert tally.classes["*"][0] == tally.queues["*"] == 800
    assert tally.classes["C0"][0] == tally.queues["q0"] == 2


# The plan of a rollup


def test_a_month_without_names_keeps_those_of_the_day() -> None:
    plan = plan_rollup({"c:A", "q:high", "c:*", "q:*"}, set())
    assert (plan.kept, plan.folded) == (("c:A", "q:high"), ())


def test_a_month_keeps_200_classes_and_200_queues() -> None:
    day = {f"{kind}:{n:03}" for kind in "cq" for n in range(200)}
    month = {f"c:old{n}" for n in range(150)} | {"c:199", "q:*"}
    plan = plan_rollup(day, month)
    classes = [one for one in plan.kept if one[0] == "c"]
    assert len(classes) == 50, "49 that are new, and one that is there"
    assert "c:199" in classes
    assert len(plan.kept) + len(plan.folded) == 400
    assert not [one for one in plan.folded if one[0] == "q"]


@pytest.mark.parametrize("taken", [0, 1, 100, 199, 200])
def test_the_plan_is_the_same_after_its_names_were_kept(taken: int) -> None:
    """So a master that repeats the work of a dead one writes the same numbers."""
    day = {f"c:{n:03}" for n in range(120)} | {f"q:{n:03}" for n in range(200)}
    month = {f"c:old{n}" for n in range(taken)}
    plan = plan_rollup(day, month)
    assert plan_rollup(day, month | set(plan.kept)) == plan
    # Some of the names, if that is how far it came.
    assert plan_rollup(day, month | set(plan.kept[:7])) == plan


def test_hours_and_days_are_whole_numbers_of_minutes() -> None:
    assert (DAY % HOUR, HOUR % MINUTE) == (0, 0)


@pytest.mark.parametrize(
    ("period", "kept", "widths"),
    [
        (day_of(0), 3 * DAY, {"done": 4, "ms": 4}),
        (month_of(0), 90 * DAY, {"done": 4, "ms": 8}),
    ],
)
def test_days_are_kept_three_days_and_months_ninety_after_their_last_change(
    period: HistoryPeriod, kept: int, widths: dict[str, int]
) -> None:
    assert period.kept == kept
    assert {value: period.width(value) for value in widths} == widths


@pytest.mark.parametrize(
    ("stored", "reading", "tolerance", "places"),
    [
        *(([], 3, 0.0, []), ([0, 0], 3, 0.0, []), ([3], 3, 0.0, [])),
        *(([3, 0, 0], 3, 0.0, [1, 2]), ([0, 3, 0], 3, 0.0, [2])),
        *(([3, 4, 0], 3, 0.0, []), ([4, 3, 0], 3, 0.0, [2]), ([2, 0], 3, 0.0, [])),
        *(([100, 0], 101, 0.01, [1]), ([100, 0], 99, 0.01, [1])),
        *(([100, 0], 102, 0.01, []), ([100, 0], 98, 0.01, [])),
    ],
)
def test_quiet_places_follow_the_same_reading(
    stored: list[int], reading: int, tolerance: float, places: list[int]
) -> None:
    assert list(quiet_places(stored, reading, tolerance)) == places
