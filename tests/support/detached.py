"""A master that `resqued start` has made a daemon of: nobody's child, found again.

Leaving the context stops it, and fails the test if a process of it is left.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from tests.support.cli import RESQUED
from tests.support.daemon import MARK, clean_environment, events_in
from tests.support.processes import JobProcesses, describe
from tests.support.wait import scaled, wait_until


class Detached:
    """The daemons of one place, which has their pid files, sockets and logs."""

    def __init__(
        self,
        place: Path,
        url: str,
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = RESQUED,
    ) -> None:
        self.place = place
        self.url = url
        self.run_directory = place / "run"
        self.pid_file = self.run_directory / "resqued.pid"
        self.log_file = place / "resqued.log"
        self.command = tuple(command)
        mark = uuid.uuid4().hex
        self.env = {
            **clean_environment(),
            "RUNTIME_DIRECTORY": str(self.run_directory),
            "TEST_REDIS_URL": url,
            **(env or {}),
            MARK: mark,
        }
        self._family = JobProcesses(MARK, mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for pid_file in self.place.rglob("*.pid"):
            self.run("stop", "--now", "--pidfile", str(pid_file))
        with suppress(AssertionError):
            wait_until(lambda: not self.processes())
        left = self.processes()
        told = [describe(process) for process in left]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        wait_until(lambda: not self.processes(), what="the end of what was killed")
        if told and kind is None:
            raise AssertionError(f"left behind: {told}\n{self.log()}")

    def run(
        self, *args: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; its output comes to its end with it, not with the daemon."""
        return subprocess.run(
            [*self.command, *args],
            cwd=self.place,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=scaled(120),
            check=False,
        )

    def start(
        self, *args: str, command: str = "start", queues: str = "default"
    ) -> subprocess.CompletedProcess[str]:
        """Start a daemon with the jobs of the tests, or be told why there is none."""
        result = self.run(
            *(command, queues, "-r", self.url, "-a", "tests.support.jobs"),
            *("--log-file", str(self.log_file), "--log-format", "json"),
            *args,
        )
        with suppress(OSError, ValueError):
            self._family.sessions.add(os.getsid(self.pid))
        return result

    def started(self, *args: str, **options: Any) -> int:
        """Start a daemon that must run, and return its pid."""
        result = self.start(*args, **options)
        assert result.returncode == 0, result.stderr + self.log()
        return self.pid

    @property
    def pid(self) -> int:
        """What the pid file says."""
        return int(self.pid_file.read_text())

    def log(self) -> str:
        with suppress(OSError):
            return self.log_file.read_text("utf-8", "replace")
        return ""

    def events(self, name: str, file: Path | None = None) -> list[dict[str, Any]]:
        """Return the events of a name that the log has, or another file."""
        text = self.log() if file is None else file.read_text("utf-8", "replace")
        every = events_in(text.rpartition("\n")[0])
        return [event for event in every if event["event"] == name]

    def wait_for_event(self, name: str, *, count: int = 1) -> list[dict[str, Any]]:
        return wait_until(
            lambda: (e := self.events(name))[count - 1 :] and e,
            what=f"event {name} x {count}",
            deadline=60,
        )

    def processes(self) -> list[psutil.Process]:
        """Return every process that any of its daemons has left, or is."""
        return self._family.alive()

    def sessions(self) -> set[int]:
        """Return the sessions of them all: each daemon has one of its own."""
        found = set()
        for process in self.processes():
            with suppress(ProcessLookupError):
                found.add(os.getsid(process.pid))
        return found
