"""The level of the log and those of single events; and the count of dropped lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LOG = """
from resqued.log import logger
{before}
log = logger.get()
log.debug("job_begins")
log.info("job_performed")
log.info("redis_reconnected")
log.warning("job_failed")
logger.log_unconditionally("info", "output")
"""
FULL = """
import os
from resqued.log import logger

ours, theirs = os.pipe()
os.set_blocking(theirs, False)
logger.configure(style="json", fd=theirs)
log = logger.get()
filled = 0
for size in (4096, 1):
    try:
        while True:
            filled += os.write(theirs, bytes(size))
    except BlockingIOError:
        pass
for _ in range(3):
    log.info("job_performed")
while filled:
    filled -= len(os.read(ours, filled))
log.info("job_failed")
os.write(2, os.read(ours, 65536))
"""


def logged(program: str) -> list[dict[str, object]]:
    """Run a program; return the events on its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "JOURNAL_STREAM": ""},
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def levels(settings: str, *more: str) -> dict[object, object]:
    """Return the level of each event that is logged with these settings."""
    before = "\n".join((f"logger.configure(style='json', {settings})", *more))
    found = logged(LOG.format(before=before))
    assert all(list(event)[:2] == ["event", "level"] for event in found)
    return {event["event"]: event["level"] for event in found}


ALL = {
    "job_performed": "info",
    "redis_reconnected": "info",
    "job_failed": "warning",
    "output": "info",
}


@pytest.mark.parametrize("settings", ["", "events={}", "may_change=True"])
def test_without_events_the_level_of_the_log_decides(settings: str) -> None:
    assert levels(settings) == ALL


@pytest.mark.parametrize("settings", ["", ", may_change=True"])
def test_an_event_can_have_a_level_of_its_own_or_be_off(settings: str) -> None:
    events = {
        "job_performed": "off",
        "redis_reconnected": "error",
        "job_failed": "debug",
        "job_begins": "warning",
    }
    assert levels(f"level='warning', events={events}{settings}") == {
        "job_begins": "warning",
        "redis_reconnected": "error",
        "output": "info",
    }


def test_output_of_jobs_is_logged_at_each_level_unless_it_is_off() -> None:
    assert "output" not in levels("events={'output': 'off'}")
    assert levels("level='error', events={'output': 'debug'}") == {"output": "debug"}


def test_a_master_can_change_the_levels() -> None:
    change = "logger.set_levels('debug', {'job_failed': 'off'})"
    kept = "log = logger.get()\nlogger.get = lambda: log"
    found = levels("level='error', may_change=True", kept, change)
    assert found == {
        "job_begins": "debug",
        "job_performed": "info",
        "redis_reconnected": "info",
        "output": "info",
    }


def test_without_events_a_call_below_the_level_goes_through_no_processor() -> None:
    program = "\n".join(
        (
            "from resqued.log import logger",
            "logger.configure(style='json', level='info')",
            "assert not logger.get().is_enabled_for(10)",
            "logger.configure(style='json', events={'job_begins': 'info'})",
            "assert logger.get().is_enabled_for(10)",
            "assert logger.is_logged('job_begins', 'debug')",
        )
    )
    assert logged(program) == []


def test_lines_are_counted_until_their_number_could_be_written() -> None:
    notice, last = logged(FULL)
    assert (notice["event"], notice["count"]) == ("log_lines_dropped", 3)
    assert last["event"] == "job_failed"
