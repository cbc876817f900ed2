"""The parts of every measurement: the server, and workers and producers that run for
the length of a block.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environment import JOBS, child_environment
from errors import BenchError
from peers import Launch, Peer
from process import running, tail
from server import Server

MARKS = "bench:marks"

# Seconds between two checks that a worker is alive.
LOOK = 1.0

# The longest time for a job, and for the start of a worker, in seconds.
SLOWEST_JOB = 0.2
SLOWEST_START = 30.0

# Seconds in which a library must acknowledge its last job after the last mark.
SETTLING = 10.0


@dataclass(slots=True)
class Producer:
    """The process that pushes jobs with one library; see jobs/produce.py."""

    _process: subprocess.Popen[str]
    _log: Path

    def ask(self, do: str, **request: object) -> Any:
        """Send one request, wait for its reply, and return it.

        Raises BenchError if the producer ends.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError("the producer was started without pipes")
        with contextlib.suppress(BrokenPipeError):  # then there is no reply
            stdin.write(json.dumps({"do": do, **request}) + "\n")
            stdin.flush()
        reply = stdout.readline()
        if not reply:
            raise BenchError(f"the producer ended at {do!r}:\n{tail(self._log)}")
        return json.loads(reply)

    def wait_until_settled(self) -> None:
        """Wait until no job is queued or held by a worker.

        Raises BenchError after SETTLING seconds.
        """
        deadline = time.monotonic() + SETTLING
        while jobs := self.ask("backlog"):
            if time.monotonic() > deadline:
                raise BenchError(f"{jobs} jobs are left after the last mark")
            time.sleep(0.02)


@dataclass(slots=True)
class Worker:
    """The workers of one library, one or several, by the process that was started."""

    _process: subprocess.Popen[str]
    _server: Server

    @property
    def pid(self) -> int:
        """The pid of the process that was started."""
        return self._process.pid

    def wait_for_mark(self, patience: float) -> tuple[str, int]:
        """Wait for the next mark; return its name and time (ns, time.monotonic_ns()).

        Raises BenchError after `patience` seconds, or if the worker ends.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # Before the read: a worker in burst mode ends right after its mark.
            ended = self._process.poll() is not None
            mark = self._server.client.blpop([MARKS], timeout=LOOK)
            if mark is not None:
                name, when = mark[1].decode().split()
                return name, int(when)
            if ended:
                status = self._process.returncode
                raise BenchError(f"the worker ended with status {status}")
        raise BenchError(f"no job wrote its mark within {patience:.0f} s")

    def wait_until_done(self, count: int) -> float:
        """Return the seconds between the marks before and after `count` jobs."""
        name, begin = self.wait_for_mark(SLOWEST_START)
        if name != "start":
            raise BenchError(f"the first job to run was {name!r}, not 'start'")
        _, end = self.wait_for_mark(SLOWEST_START + count * SLOWEST_JOB)
        return (end - begin) / 1e9


@dataclass(slots=True)
class Rig:
    """The server, the two interpreters, and a folder for files of processes."""

    server: Server
    # The interpreter with the peers; None if no peer is measured.
    peers_python: str | None
    scratch: Path
    # The interpreter with the project.
    project_python: str = sys.executable
    # Further environment variables of the processes.
    settings: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def worker(
        self, peer: Peer, *, workers: int = 1, burst: bool = False
    ) -> Iterator[Worker]:
        """Run workers of a library during the block.

        The last lines of their log are added to a BenchError that the block raises,
        since workers are the most likely cause.
        """
        url = self.server.url
        launch = Launch(self._python(peer), url, peer.app, workers, burst)
        command, log = peer.command(launch), self._log(peer)
        with running(command, self._environment(), JOBS, log) as process:
            try:
                yield Worker(process, self.server)
            except BenchError as error:
                raise BenchError(f"{error}\n{tail(log)}".rstrip()) from error

    @contextlib.contextmanager
    def producer(self, peer: Peer) -> Iterator[Producer]:
        """Run a producer with a library during the block.

        A new one is needed after each flush: some libraries remember what they have
        declared in Redis, and would not declare it again.
        """
        log = self._log(peer)
        command = [self._python(peer), "produce.py", peer.producer]
        with running(command, self._environment(), JOBS, log, talk=True) as process:
            yield Producer(process, log)

    def _python(self, peer: Peer) -> str:
        if peer.in_project:
            return self.project_python
        if self.peers_python is None:
            raise BenchError(f"{peer.title} needs the peers' environment")
        return self.peers_python

    def _environment(self) -> dict[str, str]:
        return child_environment(self.server.url, self.scratch) | self.settings

    def _log(self, peer: Peer) -> Path:
        return self.scratch / f"{peer.key}-{next(self._numbers)}.log"
