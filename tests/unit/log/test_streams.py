"""Where lines go: to a terminal or pipe that nobody reads, and past what jobs open."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.support.wait import scaled

MANY = """
from resqued.log import logger
logger.configure(style="json")
log = logger.get()
for number in range(3000):
    log.info("job_performed", queue="x" * 100)
"""

FULL = """
import os, sys
from resqued.log import capture, logger
logger.configure(style="json")
capture.install()
for number in range(200):
    print("y" * 15_000)
os.write(1, b"done")
sys.stdin.read()
capture.finish()
"""

LONG = """
import sys
from resqued.log import capture, logger
logger.configure(style="json", fd=int(sys.argv[1]))
capture.install()
print("z" * 40_000)
print("next")
sys.stdout.write("é" * 40_000)
sys.stdout.flush()
capture.finish()
"""

CLOSED = """
import os, sys
from resqued.log import capture, logger
logger.configure(style="json")
capture.install()
os.close(2)
file = open(sys.argv[1], "wb", buffering=0)
assert file.fileno() == 2
file.write(b"data\\n")
print("to the output")
print("to the error", file=sys.stderr)
"""


def test_a_terminal_that_nobody_reads_stops_no_program() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", MANY], stderr=theirs) as program:
        try:
            assert program.wait(scaled(60)) == 0
        finally:
            program.kill()
    # What others write to the terminal waits as before.
    assert os.get_blocking(theirs)
    os.close(ours)
    os.close(theirs)


def test_lines_are_whole_or_counted_while_the_reader_stands_still() -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", FULL], **pipes) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.read(4) == b"done"
        begun = os.read(program.stderr.fileno(), 1 << 20)
        program.stdin.close()
        lines = (begun + program.stderr.read()).splitlines()
    events = [json.loads(line) for line in lines]
    *output, notice = events
    assert {len(event["message"]) for event in output} == {15_000}
    assert notice["event"] == "log_lines_dropped"
    assert len(output) + notice["count"] == 200


def test_a_long_line_is_logged_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as log:
        command = [sys.executable, "-c", LONG, str(log.fileno())]
        subprocess.run(command, pass_fds=[log.fileno()], check=True)
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert messages[:3] == ["z" * 32_768, "z" * 7_232, "next"]
    assert "".join(messages[3:]) == "é" * 40_000


def test_no_line_goes_into_a_file_that_has_the_number_of_a_stream(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, str(path)], capture_output=True, check=True
    )
    # As in any program: what is printed to the closed stream is in the file.
    assert path.read_bytes() == b"data\nto the error\n"
    assert done.stdout == b"to the output\n"
