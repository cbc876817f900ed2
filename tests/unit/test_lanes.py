"""What the lanes of the suite make of what came of their tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.coverage_gate import shortfall
from tests.support.lanes import MOST_AGAIN, Lane, last_line, summary, to_run_again

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
        "11 passed, 2 failed, 0 flaky; parallel failed (a, and 1 more)",
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
        "12 passed, 1 failed, 1 flaky; parallel failed (b)",
    ]


def test_a_second_run_that_does_not_get_anywhere_excuses_nothing() -> None:
    nothing = replace(GOOD, name="again", code=5, passed=0)
    text, is_well = summary([BAD, ALONE], nothing)
    assert not is_well
    assert text.splitlines()[-1].startswith("11 passed, 2 failed, 0 flaky; parallel")


def test_a_failure_of_another_lane_is_not_excused() -> None:
    again = replace(GOOD, name="again", passed=2)
    text, is_well = summary([BAD, replace(ALONE, code=1, failed=("c",))], again)
    assert not is_well
    assert text.endswith("13 passed, 1 failed, 2 flaky; alone failed (c)")


def test_a_lane_that_has_run_no_test_fails_the_run() -> None:
    text, is_well = summary([GOOD, replace(ALONE, code=5, passed=0)])
    assert not is_well
    assert "it ended with exit code 5" in text
    assert text.endswith("0 flaky; alone failed (no test, but exit code 5)")


def test_the_last_line_has_what_a_command_says_at_its_end() -> None:
    output = (
        "3 passed\nno space left on device\n\nmake[1]: *** [Makefile:9: x] Error 2\n"
    )
    unit = replace(GOOD, name="unit", code=2, told=last_line(output))
    text, is_well = summary([GOOD, unit])
    assert not is_well
    assert text.endswith(
        "; unit failed (no test, but exit code 2: no space left on device)"
    )


REPORT = """\
Name                            Stmts   Miss Branch BrPart  Cover   Missing
---------------------------------------------------------------------------
resqued/core/retry.py              33      2      2      0    94%   46-47
resqued/wire/keys.py              113      1      0      0    99%   207, 9->exit
---------------------------------------------------------------------------
TOTAL                            1771     26    384      1    98%

28 files skipped due to complete coverage.
Coverage failure: total of 98 is less than fail-under=100
"""


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            REPORT,
            (
                "coverage of core and wire is below 100 %: resqued/core/retry.py 46-47;"
                " resqued/wire/keys.py 207, 9->exit"
            ),
        ),
        ("No data to report.\n", "coverage: No data to report."),
        ("", "coverage: no report"),
    ],
)
def test_what_is_not_covered_is_one_line(report: str, line: str) -> None:
    assert shortfall(report) == line


def test_only_a_few_failures_are_looked_at_again() -> None:
    many = tuple(map(str, range(MOST_AGAIN)))
    browser = replace(BAD, name="browser", failed=("c",))
    assert to_run_again([BAD, ALONE]) == ("a", "b")
    assert to_run_again([BAD, ALONE, browser]) == ("a", "b", "c")
    assert to_run_again([GOOD, replace(ALONE, code=1, failed=("c",))]) == ()
    assert to_run_again([replace(BAD, failed=many), browser]) == ()
    # pytest itself broke: nobody knows what else is wrong.
    assert to_run_again([BAD, replace(browser, code=3)]) == ()


def test_what_fails_in_a_browser_is_looked_at_again_too() -> None:
    browser = replace(BAD, name="browser", failed=("c", "d"))
    again = replace(BAD, name="again", passed=3, failed=("d",))
    text, is_well = summary([BAD, ALONE, browser], again)
    assert not is_well
    assert text.endswith("22 passed, 1 failed, 3 flaky; browser failed (d)")
