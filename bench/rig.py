"""What every measurement is made with: the server, workers and producers, started
for as long as a block lasts.
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

# Seconds between two looks at whether a worker is still alive.
LOOK = 1.0

# What a job may take at worst before we call the worker stuck, in seconds.
SLOWEST_JOB = 0.2
SLOWEST_START = 30.0

# How long after the last mark a library may take to acknowledge its last job.
SETTLING = 10.0


@dataclass(slots=True)
class Producer:
    """The process that pushes jobs with one library; see jobs/produce.py."""

    _process: subprocess.Popen[str]
    _log: Path

    def ask(self, do: str, **request: object) -> Any:
        """Send one request and wait for its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError("the producer was started without pipes")
        with contextlib.suppress(BrokenPipeError):  # told by the missing answer
            stdin.write(json.dumps({"do": do, **request}) + "\n")
            stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise BenchError(f"the producer ended at {do!r}:\n{tail(self._log)}")
        return json.loads(answer)

    def wait_until_settled(self) -> None:
        """Wait until no job is queued or in a worker's hands."""
        deadline = time.monotonic() + SETTLING
        while left := self.ask("backlog"):
            if time.monotonic() > deadline:
                raise BenchError(f"{left} jobs are left after the last mark")
            time.sleep(0.02)


@dataclass(slots=True)
class Worker:
    """The workers of one library, one or several; the process that leads them."""

    _process: subprocess.Popen[str]
    _server: Server

    @property
    def pid(self) -> int:
        """The process that leads them."""
        return self._process.pid

    def wait_for_mark(self, patience: float) -> tuple[str, int]:
        """Answer the next mark's name and time, blocking on its list."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # Looked at first: a worker in burst mode ends right after its mark.
            ended = self._process.poll() is not None
            found = self._server.client.blpop([MARKS], timeout=LOOK)
            if found is not None:
                name, when = found[1].decode().split()
                return name, int(when)
            if ended:
                raise BenchError(f"the worker ended ({self._process.returncode})")
        raise BenchError(f"no job wrote its mark within {patience:.0f} s")

    def wait_until_done(self, count: int) -> float:
        """Seconds from the mark before `count` jobs to the mark after them."""
        name, begin = self.wait_for_mark(SLOWEST_START)
        if name != "start":
            raise BenchError(f"the first job to run was {name!r}")
        _, end = self.wait_for_mark(SLOWEST_START + count * SLOWEST_JOB)
        return (end - begin) / 1e9


@dataclass(slots=True)
class Rig:
    """The server, the two interpreters, and a folder for what processes leave."""

    server: Server
    # The interpreter with the peers; None when no peer is to be measured.
    peers_python: str | None
    scratch: Path
    # Further settings of the processes that are started.
    settings: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def worker(
        self, peer: Peer, *, workers: int = 1, burst: bool = False
    ) -> Iterator[Worker]:
        """Run workers of a library while the block lasts.

        What goes wrong in the block is told with the last lines of their log,
        since it mostly is the workers' doing.
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
        """Run a producer with a library while the block lasts.

        A new one after each flush: some libraries remember what they have
        declared in Redis, and would not declare it again.
        """
        log = self._log(peer)
        command = [self._python(peer), "produce.py", peer.producer]
        with running(command, self._environment(), JOBS, log, talk=True) as process:
            yield Producer(process, log)

    def _python(self, peer: Peer) -> str:
        if peer.in_project:
            return sys.executable
        if self.peers_python is None:
            raise BenchError(f"{peer.title} needs the peers' environment")
        return self.peers_python

    def _environment(self) -> dict[str, str]:
        return child_environment(self.server.url, self.scratch) | self.settings

    def _log(self, peer: Peer) -> Path:
        return self.scratch / f"{peer.key}-{next(self._numbers)}.log"
