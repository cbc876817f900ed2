"""A plugin of pytest: it leaves what came of the tests where the lanes ask for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

# Names the directory: see tests/support/lanes.py.
REPORTS = "RESQUED_TEST_REPORTS"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the report, unless this is a worker of xdist: its master knows of all."""
    if hasattr(terminalreporter.config, "workerinput"):
        return
    stats = terminalreporter.stats
    # A test whose fixtures break is an error to pytest, and in both if both break.
    failed = [
        each.nodeid for name in ("failed", "error") for each in stats.get(name, ())
    ]
    leave(
        failed,
        passed=len(stats.get("passed", ())),
        skipped=len(stats.get("skipped", ())),
    )


def leave(failed: Iterable[str], *, passed: int = 0, skipped: int = 0) -> None:
    """Write what came of tests, or of another check, if a lane asks for it."""
    if REPORTS in os.environ:
        names = list(dict.fromkeys(failed))
        report = {"passed": passed, "skipped": skipped, "failed": names}
        file = Path(os.environ[REPORTS], f"{os.getpid()}.json")
        file.write_text(json.dumps(report))
