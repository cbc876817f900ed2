"""A log file that is full for a while: the lines after it are whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# A limit of the size of files cuts a line in the middle, as a full disk does.
PROGRAM = """
import os, resource, sys
from resqued.log import logger

fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
logger.configure(style="json", fd=fd)
log = logger.get()
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
log.info("master_started")
resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(fd).st_size + 20, most))
log.info("master_ready")
log.info("master_ready")
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
logger.get().info("state_changed")
log.info("master_stopped")
"""


def test_half_a_line_is_not_joined_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True)
    first, half, *rest = path.read_text().splitlines()
    assert json.loads(first)["event"] == "master_started"
    assert half == '{"event": "master_re'
    events = [json.loads(line) for line in rest]
    names = [event["event"] for event in events]
    assert names == ["log_lines_dropped", "state_changed", "master_stopped"]
    assert events[0]["count"] >= 1
