"""The README, typed by somebody who has Python and nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

import resqued
from resqued.system.redis_server import EmbeddedServer
from tests.support.daemon import clean_environment
from tests.support.readme import ROOT, blocks, commands
from tests.support.wait import scaled, wait_until

# Not part of a checkout, or large.
NOT_CLONED = (".*", "*.egg-info", "build", "dist", "node_modules", "__pycache__")


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Shell:
    """A shell at work, typed at line by line."""

    def __init__(self, place: Path) -> None:
        self._output = place / "output"
        self._place = place
        self._typed = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        python = Path(sys.executable).resolve().parent
        with self._output.open("wb") as output:
            shell = subprocess.Popen(
                ["sh"],
                cwd=self._place,
                env={
                    **clean_environment(),
                    "PATH": f"{python}:{os.defpath}",
                    "XDG_STATE_HOME": str(self._place / "state"),
                    "XDG_RUNTIME_DIR": str(self._place / "run"),
                    "PYTHONPATH": "",
                },
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._shell = shell
        try:
            yield
        finally:
            self.type("resqued redis stop; kill -KILL $! 2>/dev/null")
            assert shell.stdin
            shell.stdin.close()
            shell.wait(scaled(60))

    def type(self, line: str) -> tuple[int, str]:
        """Type a line; answer its exit code, and what was printed meanwhile."""
        before = len(self._text())
        self._typed += 1
        mark = f"done-{self._typed}"
        assert self._shell.stdin
        self._shell.stdin.write(f"{line}\necho {mark} $?\n".encode())
        self._shell.stdin.flush()
        wait_until(
            lambda: f"\n{mark} " in self._text()[before - 1 :],
            what=f"the end of {line}",
            deadline=300,
        )
        said, _, code = self._text()[before:].rpartition(f"{mark} ")
        return int(code), said

    def _text(self) -> str:
        return "\n" + self._output.read_text("utf-8", "replace")


@pytest.mark.alone("it uses port 6379, as the README does")
@pytest.mark.skipif(is_taken(6379), reason="a server has the port that the README uses")
def test_ten_minutes(tmp_path: Path) -> None:
    clone = tmp_path / "resqued"
    shutil.copytree(
        ROOT, clone, symlinks=True, ignore=shutil.ignore_patterns(*NOT_CLONED)
    )
    shell = Shell(clone)

    @cache
    def client() -> resqued.Client:
        """Return a client of the server that the reader has started."""
        server = EmbeddedServer.find(clone / "state" / "resqued" / "redis")
        assert server is not None
        return resqued.Client(server.url)

    # What a reader has waited for when the next line is typed.
    waits: dict[str, Callable[[], bool]] = {
        "resqued status": lambda: client().info().processed == 2,
        "resqued failed retry": lambda: client().failures.count() == 1,
        "resqued top": lambda: bool(client().working()),
        # Told to the second, and counted from when it was taken.
        "resqued kill": lambda: runs_for(client()) > 3,
    }
    printed: dict[str, str] = {}
    with shell.running():
        for block in blocks("Ten minutes"):
            if block.language == "python":
                (clone / "photos.py").write_text(block.text)
                continue
            for line in commands(block):
                for start, is_so in waits.items():
                    if line.startswith(start):
                        wait_until(is_so, what=f"what {line} shows", deadline=60)
                code, printed[line] = shell.type(line)
                assert code == 0, f"{line}: {printed[line]}"
                assert "Traceback" not in printed[line].replace("work.log", "")
    assert "notes.txt is no photo" in printed["resqued failed"]
    assert "beach.jpg is 640 pixels wide now" in printed["cat work.log"]
    assert "ending photos.rebuild" in printed["resqued kill --older-than 1s --yes"]
    wait_until(lambda: not is_taken(6379), what="the server to leave")


def runs_for(client: resqued.Client) -> float:
    """Return for how long the only job has run, in seconds; 0 without one."""
    began = [w.job.run_at for w in client.working() if w.job and w.job.run_at]
    return (datetime.now(UTC) - began[0]).total_seconds() if began else 0.0
