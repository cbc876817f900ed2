"""The master of the demo's pool: `resqued work` as a subprocess, and its log.

It has a session of its own, so that Ctrl-C at a terminal reaches the demo alone,
which then ends everything in order.
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

# The jobs here clean up in no time when they are told to terminate.
_GRACE = "1s"

# Above what a master allows its workers before it kills them itself.
_END_DEADLINE = 20.0
_TICK = 0.02

# Variables that steer resqued, or Resque, must not reach into the demo.
_OURS = ("RESQUED_", "RESQUE_")
_STEERING = frozenset(
    {
        *("REDIS_URL", "QUEUE", "QUEUES", "COUNT", "INTERVAL", "PIDFILE", "BACKGROUND"),
        *("TERM_CHILD", "GRACEFUL_TERM", "VERBOSE", "VVERBOSE", "LOGGING"),
        *("NOTIFY_SOCKET", "JOURNAL_STREAM"),
    }
)


class DemoMaster:
    """A running master."""

    def __init__(self, url: str, workers: int, workspace: Workspace) -> None:
        me = os.getpid()
        self.log = workspace.log
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                _command(url, workers),
                # Nothing that lies about where the demo was started is imported.
                cwd=workspace.path,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Not even SIGKILL to the demo leaves it running; its workers
                # leave by themselves then. No thread runs here to fork with.
                preexec_fn=lambda: prctl.die_with_parent(me),  # noqa: PLW1509
            )

    def must_run(self) -> None:
        """Raise DemoError if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(
                f"the master ended with status {status}: {self.last_words()}"
            )

    def quit(self, tick: Callable[[], None]) -> int | None:
        """Have it finish, and return its exit status; None if it takes too long."""
        self._process.send_signal(signal.SIGQUIT)
        return self._wait(tick, lambda: False)

    def end(self, is_urgent: Callable[[], bool]) -> None:
        """Have it end the jobs and itself; stop waiting when it becomes urgent."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            if self._wait(lambda: None, is_urgent) is None:
                self.kill()

    def kill(self) -> None:
        """End it at once, and leave its workers to whoever looks after them."""
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
        """Return the last line of its log that tells of trouble."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        for line in reversed(lines):
            event = _event(line)
            if event is None:
                return line  # the error for people, or the end of a traceback
            if event.get("level") in {"warning", "error"}:
                told = (event.get(k) for k in ("event", "error", "reason"))
                return ": ".join(str(value) for value in told if value)
        return "its log says nothing of it"


class EndedJobs:
    """What the master's log says of jobs that have run, read as it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self.done: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()

    def read(self) -> None:
        """Take in what was written since."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            # The last line may still be on its way.
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        counters = {"job_performed": self.done, "job_failed": self.failed}
        for line in whole.splitlines():
            event = _event(line)
            if event is not None and event.get("event") in counters:
                job = str(event.get("queue")), str(event.get("job_class"))
                counters[str(event["event"])][job] += 1


def _event(line: str | bytes) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # what a job or the interpreter wrote
    return value if isinstance(value, dict) else None


def _command(url: str, workers: int) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "resqued", "work", QUEUES),
        *("-n", str(workers), "-a", "resqued.demo.demo_jobs"),
        *("-r", url, "-N", NAMESPACE),
        # No configuration of this machine either.
        *("-c", os.devnull),
        *("--grace", _GRACE, "--log-level", "info", "--log-format", "json"),
    ]


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and name not in _STEERING
    }
