"""The lanes of the suite, with a suite of three tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.daemon import ROOT
from tests.support.lanes import Lanes, run

CONFIGURATION = """
[pytest]
markers =
    alone: not beside others
"""
TESTS = """
import os, pathlib
import pytest

IS_BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ

def test_passes():
    assert IS_BESIDE_OTHERS

def test_flaky():
    assert not IS_BESIDE_OTHERS

@pytest.mark.alone
def test_alone():
    assert not IS_BESIDE_OTHERS
"""
FAILS = """
def test_fails():
    assert False
"""
BESIDE = "print('3 passed with another Python'); raise SystemExit({code})"


@pytest.fixture
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    (tmp_path / "test_few.py").write_text(TESTS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return Lanes(tmp_path, tmp_path / "reports", ["-p", "tests.support.report"])


def last_lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().out.rpartition("\n\n")[2].splitlines()


def test_a_test_that_passes_alone_is_listed_and_fails_nobody(
    lanes: Lanes, capfd: pytest.CaptureFixture[str]
) -> None:
    beside = (sys.executable, "-c", BESIDE.format(code=0))
    assert run(lanes, paths=["."], workers=2, beside=beside, again=True) == 0
    output = capfd.readouterr().out
    assert "3 passed with another Python" in output
    assert output.splitlines()[-2:] == [
        "flaky: test_few.py::test_flaky: failed beside others, and passed alone",
        "3 passed, 0 failed, 1 flaky",
    ]


def test_without_another_try_it_fails_the_run(
    lanes: Lanes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(lanes, paths=["."], workers=2) == 1
    assert last_lines(capfd)[-2:] == [
        "failed: test_few.py::test_flaky",
        "2 passed, 1 failed, 0 flaky; parallel failed (test_few.py::test_flaky)",
    ]


def test_a_test_that_fails_twice_fails_the_run(
    lanes: Lanes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "test_few.py").open("a") as file:
        file.write(FAILS)
    assert run(lanes, paths=["."], workers=2, again=True) == 1
    assert last_lines(capfd)[-2:] == [
        "failed: test_few.py::test_fails",
        "3 passed, 1 failed, 1 flaky; parallel failed (test_few.py::test_fails)",
    ]


def test_what_runs_beside_them_fails_the_run_as_well(
    lanes: Lanes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    beside = (sys.executable, "-c", BESIDE.format(code=2))
    report = tmp_path / "last"
    assert run(lanes, paths=["."], workers=2, beside=beside, again=True, report=report)
    line = (
        "3 passed, 0 failed, 1 flaky; unit failed (no test, but exit code 2: 3 passed"
        " with another Python)"
    )
    assert last_lines(capfd)[-1] == line == report.read_text().strip()
