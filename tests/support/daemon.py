"""The program under test: `resqued work` as a subprocess that leaves nothing behind.

On leaving the context the daemon is told to quit, and it is an error if it hangs,
if any process of it is left, or if it logged a traceback.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import psutil

from tests.support.fork_server import COMMAND, ForkedProcess, fork_server
from tests.support.processes import JobProcesses, describe, entry_of, title
from tests.support.wait import scaled, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
RESQUED = (*COMMAND, "work", "--log-format", "json")

# In the environment of every process of a daemon, whatever session and parent it
# has given itself.
MARK = "RESQUED_TEST_DAEMON"

# What steers resqued, or Resque, must come from the test and not from whoever
# runs it.
STEERING = re.compile(
    r"RESQUED?_.*|REDIS_.*|QUEUES?|COUNT|(MIN_|MAX_|BACKOFF_)?INTERVAL|PIDFILE"
    r"|BACKGROUND|TERM_CHILD|GRACEFUL_TERM|RUN_AT_EXIT_HOOKS|FORK_PER_JOB|LOGGING"
    r"|V?VERBOSE|FAILURE_BACKEND|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|JOURNAL_STREAM|XDG_.*"
)


class Daemon:
    """A running daemon; enter it to start it."""

    def __init__(
        self,
        *args: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = RESQUED,
        quit_deadline: float = 60.0,
        # A busy worker without a master may stay for a moment, by design.
        leave_deadline: float = 30.0,
        may_hang: bool = False,
        may_log_tracebacks: bool = False,
    ) -> None:
        self.command = (*command, *args)
        self.cwd = cwd
        self.quit_deadline = quit_deadline
        self.leave_deadline = leave_deadline
        self.may_hang = may_hang
        self.may_log_tracebacks = may_log_tracebacks
        self._mark = uuid.uuid4().hex
        # Masters find each other's sockets, so each test has its own place for them.
        self.runtime_directory = cwd / "run"
        self._env = {
            **clean_environment(),
            "RUNTIME_DIRECTORY": str(self.runtime_directory),
            **(env or {}),
            MARK: self._mark,
        }
        self._family = JobProcesses(MARK, self._mark)
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self.log_path = cwd / f"daemon-{self._mark[:8]}.log"
        self._events: list[dict[str, Any]] = []
        self._read = 0

    def __enter__(self) -> Self:
        with self.log_path.open("wb") as log:
            self._process = start(
                self.command, cwd=self.cwd, env=self._env, output=log.fileno()
            )
        self._family.sessions.add(self.pid)
        self._family.add(self.pid)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        problems = [*self._quit(), *self._end_all()]
        if "Traceback" in self.log() and not self.may_log_tracebacks:
            problems.append("it logged a traceback")
        # What the test itself has to say comes first.
        if problems and kind is None:
            self._fail("; ".join(problems))

    @property
    def pid(self) -> int:
        """The master's pid."""
        assert self._process
        return self._process.pid

    def is_running(self) -> bool:
        """Say whether the master lives."""
        assert self._process
        return self._process.poll() is None

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the master alone."""
        assert self._process
        self._family.pids()
        self._process.send_signal(signum)

    def wait(self, deadline: float = 30.0) -> int:
        """Return the master's exit code; negative if a signal ended it."""
        assert self._process
        self._family.pids()
        try:
            return self._process.wait(scaled(deadline))
        except subprocess.TimeoutExpired:
            self._fail(f"it did not end within {scaled(deadline):g} s")

    def log(self) -> str:
        """Return all that it has written."""
        return self.log_path.read_text("utf-8", "replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what it has logged, or just the events of one name."""
        # What was read before is not read again.
        with self.log_path.open("rb") as log:
            log.seek(self._read)
            # The last line may still be on its way.
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        self._events += events_in(whole.decode("utf-8", "replace"))
        return [e for e in self._events if name is None or e["event"] == name]

    def forget_events(self) -> None:
        """Have `events` begin with what is logged from now on."""
        self.events()
        self._events.clear()

    def wait_for_event(
        self, name: str, *, count: int = 1, deadline: float = 30.0
    ) -> list[dict[str, Any]]:
        """Return the events of a name once there are *count*; fail if it ends first."""

        def logged() -> list[dict[str, Any]] | None:
            # Asked before the log is read: its last words count.
            was_running = self.is_running()
            events = self.events(name)
            if len(events) >= count:
                return events
            if not was_running:
                self._fail(f"it ended with {self.wait()} before it logged {name}")
            return None

        return wait_until(logged, deadline=deadline, what=f"event {name} x {count}")

    def workers(self) -> list[int]:
        """Return the pids of the workers.

        They are children of the master, once the process has left that each was
        forked by: on a busy machine a worker may be ready before. A child that a
        worker has just forked still has its worker's title, and is none.
        """
        found = list(filter(is_worker, self._family.descendants(self.pid)))
        entries = [entry for pid in found if (entry := entry_of(pid))]
        return [entry.pid for entry in entries if entry.parent not in found]

    def zygotes(self) -> list[int]:
        """Return the pids of the zygotes."""
        return list(filter(is_zygote, self._family.children(self.pid)))

    def children(self, worker: int | None = None) -> list[int]:
        """Return the pids of the children of all workers, or of one."""
        workers = self.workers() if worker is None else [worker]
        return [child for pid in workers for child in self._family.children(pid)]

    def processes(self) -> list[psutil.Process]:
        """Return every process of it that lives, orphans included."""
        return self._family.alive()

    def _quit(self) -> list[str]:
        assert self._process
        self._family.pids()
        if not self.is_running():
            return []
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(scaled(self.quit_deadline))
        except subprocess.TimeoutExpired:
            for process in self.processes():
                with suppress(psutil.Error):
                    process.kill()
            self._process.wait()
            if not self.may_hang:
                return [f"it did not end within {scaled(self.quit_deadline):g} s"]
        return []

    def _end_all(self) -> list[str]:
        """See every process of it end, or end it; tell of those that had to be."""
        with suppress(AssertionError):
            wait_until(lambda: not self._family.pids(), deadline=self.leave_deadline)
        left = self.processes()
        told = [f"process left behind: {describe(process)}" for process in left]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        wait_until(lambda: not self.processes(), what="the end of what was killed")
        return told

    def _fail(self, problem: str) -> NoReturn:
        tail = "\n".join(self.log().splitlines()[-40:])
        raise AssertionError(f"{' '.join(self.command)}: {problem}\n{tail}")


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: int,
    errors: int | None = None,
    new_session: bool = True,
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Start a command without input, by a fork if that makes no difference.

    `output` and `errors` are descriptors; without the second one, the first has both.
    """
    errors = output if errors is None else errors
    server = fork_server(clean_environment())
    with Path(os.devnull).open("rb") as nothing:
        if server.serves(command, env):
            streams = (nothing.fileno(), output, errors)
            return server.fork(
                command, cwd=cwd, env=env, streams=streams, new_session=new_session
            )
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=nothing,
            stdout=output,
            stderr=errors,
            start_new_session=new_session,
        )


def clean_environment() -> dict[str, str]:
    """Return this process's environment without anything that steers resqued."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not STEERING.fullmatch(name)
    }
    path = env.get("PYTHONPATH")
    return env | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)}


def events_in(text: str) -> list[dict[str, Any]]:
    """Return the events among the lines of a log, which has others as well."""
    found = []
    for line in text.splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                found.append(event)
    return found


def is_zygote(pid: int) -> bool:
    """Tell by the title; one that is just dying has none."""
    return "zygote" in title(pid)


def is_worker(pid: int) -> bool:
    """Tell by the title.

    One that is just dying has none. A program that the master is just starting still
    has the master's, the one that is tried before a takeover has its own, and a dying
    child whose worker has left is the master's.
    """
    shown = title(pid)
    is_child = ": Standby" in shown or ": Processing" in shown
    return shown.startswith("resque-") and not is_child
