"""The counters of classes: nothing goes down but at midnight."""

from __future__ import annotations

from resqued.core.histogram import BUCKETS
from resqued.store.history import ClassRuns
from resqued.web.class_runs import MOST_CLASSES, OTHER, ClassCounters

Today = dict[str, ClassRuns]


def runs(done: int, failed: int = 0) -> ClassRuns:
    return ClassRuns(done, failed, 10 * done, (done, *[0] * (BUCKETS - 1)))


def succeeded(one: ClassRuns) -> int:
    return one.done - one.failed


def test_a_class_that_overtakes_another_takes_nothing_from_the_rest() -> None:
    today: Today = {f"C{n:03}": runs(100) for n in range(MOST_CLASSES)}
    today |= {"late": runs(50), "*": runs(7)}
    counters = ClassCounters(lambda: today)
    before = counters.read()
    assert before[OTHER].done == 57
    today["late"] = runs(5_000)
    after = counters.read()
    assert after.keys() == before.keys()
    assert after[OTHER].done == 5_007
    assert after["C000"].done == 100


def test_a_class_gets_a_series_while_there_is_room() -> None:
    today: Today = {"A": runs(1), OTHER: runs(2), "*": runs(3)}
    counters = ClassCounters(lambda: today)
    assert counters.read()[OTHER].done == 5
    today["B"] = runs(1)
    assert counters.read()["B"].done == 1
    assert counters.read()[OTHER].done == 5


def test_what_was_read_while_it_was_written_does_not_fall_back() -> None:
    # A worker adds to the runs first, and then to those that failed.
    readings = [runs(10, 2), runs(11, 2), runs(11, 3), runs(12, 3)]
    source = iter(readings)
    counters = ClassCounters(lambda: {"A": next(source)})
    seen = [counters.read()["A"] for _ in readings]
    assert [succeeded(one) for one in seen] == [8, 9, 9, 9]
    assert [one.failed for one in seen] == [2, 2, 3, 3]


def test_at_midnight_all_begins_at_0() -> None:
    today: Today = {f"C{n:03}": runs(5, 1) for n in range(MOST_CLASSES + 1)}
    counters = ClassCounters(lambda: today)
    counters.read()
    today.clear()
    assert counters.read() == {}
    today |= {"new": runs(2, 1)}
    assert counters.read() == {"new": runs(2, 1)}
