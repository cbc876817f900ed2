"""The master of the demo's pool: `resqued work` as a subprocess, and its log.

It runs in its own session, so that Ctrl-C at a terminal reaches only the demo, which
then ends everything in order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from resqued.demo import NAMESPACE, DemoError
from resqued.demo.workspace import Workspace
from resqued.system import prctl

QUEUES = "critical,file_serve,*"

# The demo's jobs clean up within milliseconds when they are terminated.
_GRACE = "1s"

# In seconds: longer than a master waits before it kills its workers.
_END_DEADLINE = 20.0
_TICK = 0.02

# Variables that configure resqued or Resque, which must not affect the demo.
_PREFIXES = ("RESQUED_", "RESQUE_")
_NAMES = frozenset(
    {
        *("REDIS_URL", "QUEUE", "QUEUES", "COUNT", "INTERVAL", "PIDFILE", "BACKGROUND"),
        *("TERM_CHILD", "GRACEFUL_TERM", "VERBOSE", "VVERBOSE", "LOGGING"),
        *("NOTIFY_SOCKET", "JOURNAL_STREAM"),
    }
)


class DemoMaster:
    """The running master; its constructor starts it."""

    def __init__(self, url: str, workers: int, workspace: Workspace) -> None:
        me = os.getpid()
        self.log = workspace.log
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                _command(workers),
                # Not the current directory, so that no module is imported from it.
                cwd=workspace.path,
                # The URL has a password, and arguments are for all to see.
                env={**clean_environment(), "RESQUED_REDIS_URL": url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The master ends with the demo, even after SIGKILL, and its workers
                # then leave by themselves. The demo has no threads, so forking is safe.
                preexec_fn=lambda: prctl.die_with_parent(me),  # noqa: PLW1509
            )

    def must_run(self) -> None:
        """Raise DemoError if the master has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(
                f"the master ended with status {status}: {self.last_words()}"
            )

    def quit(self, tick: Callable[[], None]) -> int | None:
        """Let the pool finish its jobs; return the master's exit status.

        Returns None if the master does not end within 20 s.
        """
        self._process.send_signal(signal.SIGQUIT)
        return self._wait(tick, lambda: False)

    def end(self, is_urgent: Callable[[], bool]) -> None:
        """End the jobs and the master; kill it when `is_urgent` returns True."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            if self._wait(lambda: None, is_urgent) is None:
                self.kill()

    def kill(self) -> None:
        """Kill the master at once; its workers are left to the caller."""
        self._process.kill()
        self._process.wait()

    def _wait(
        self, tick: Callable[[], None], is_over: Callable[[], bool]
    ) -> int | None:
        deadline = time.monotonic() + _END_DEADLINE
        while self._process.poll() is None:
            if is_over() or time.monotonic() >= deadline:
                return None
            tick()
            time.sleep(_TICK)
        return self._process.returncode

    def last_words(self) -> str:
        """Return the last warning or error in the master's log, as one line."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        for line in reversed(lines):
            event = _event(line)
            if event is None:
                return line  # an error message, or the end of a traceback
            if event.get("level") in {"warning", "error"}:
                values = (event.get(k) for k in ("event", "error", "reason"))
                return ": ".join(str(value) for value in values if value)
        return "there is no warning or error in its log"


class EndedJobs:
    """Counts the jobs that have ended, by queue and class, from the master's log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self.done: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()

    def read(self) -> None:
        """Read the lines that were written since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            # The last line may be incomplete.
            lines, newline, _ = file.read().rpartition(b"\n")
        self._read += len(lines) + len(newline)
        counters = {"job_performed": self.done, "job_failed": self.failed}
        for line in lines.splitlines():
            event = _event(line)
            if event is not None and event.get("event") in counters:
                job = str(event.get("queue")), str(event.get("job_class"))
                counters[str(event["event"])][job] += 1


def _event(line: str | bytes) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # a line that a job or the interpreter wrote
    return value if isinstance(value, dict) else None


def _command(workers: int) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "resqued", "work", QUEUES),
        *("-n", str(workers), "-a", "resqued.demo.demo_jobs"),
        *("-N", NAMESPACE),
        # No configuration file of this host.
        *("-c", os.devnull),
        *("--grace", _GRACE, "--log-level", "info", "--log-format", "json"),
    ]


def clean_environment() -> dict[str, str]:
    """Return the environment without what configures resqued or Resque."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIXES) and name not in _NAMES
    }
