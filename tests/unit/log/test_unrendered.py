"""Events that cannot be rendered as configured: they are logged all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from resqued.log import logger
{before}
logger.configure(style={style!r})
log = logger.get(role="worker")
class Odd:
    def __repr__(self):
        raise RuntimeError("no text")
log.warning("job_failed", value=Odd())
try:
    raise OSError("the disk is gone")
except OSError:
    log.exception("worker_failed")
"""
PATCHED = """
import json, structlog, traceback
def broken(*args, **kwargs):
    raise TypeError("patched")
json.JSONEncoder = json.JSONEncoder.encode = json.JSONEncoder.iterencode = broken
structlog.processors.TimeStamper.__call__ = traceback.print_exception = broken
structlog.processors.ExceptionRenderer.__call__ = broken
"""


@pytest.mark.parametrize("style", ["json", "logfmt", "console"])
@pytest.mark.parametrize("before", ["", PATCHED], ids=["as it is", "patched"])
def test_an_event_that_cannot_be_rendered_is_logged_with_the_reasons(
    style: str, before: str
) -> None:
    program = PROGRAM.format(style=style, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the disk is gone" in done.stderr
    for event in ("job_failed", "worker_failed"):
        assert done.stderr.count(event) == 1
    if before:
        assert "patched" in done.stderr
    assert "no text" in done.stderr or "without a text" in done.stderr
