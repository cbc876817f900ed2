"""node-resque beside us: installing it, and its programs as processes of a test.

The programs are in tests/compat/node; they end when their standard input does, so
none of them outlives the test. It is an error if one met an error it did not
expect, or did not end well.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.daemon import ROOT, clean_environment
from tests.support.needs import missing
from tests.support.wait import scaled, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).with_name("node")
HOME = ROOT / "build" / "node-resque"
MANIFEST = ("package.json", "package-lock.json")
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def install() -> Path:
    """Install what the lock file names, unless it is there; return the modules."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            missing(f"{program} is not in PATH")
    HOME.mkdir(parents=True, exist_ok=True)
    stamp = HOME / "installed"
    wanted = hashlib.sha256(
        b"".join((SOURCES / name).read_bytes() for name in MANIFEST)
    ).hexdigest()
    # Several runs of the tests may share this folder.
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            stamp.unlink(missing_ok=True)
            for name in MANIFEST:
                shutil.copy(SOURCES / name, HOME / name)
            done = subprocess.run(
                INSTALL, cwd=HOME, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                missing(f"{' '.join(INSTALL)} failed: {done.stderr.strip()}")
            stamp.write_text(wanted)
    return HOME / "node_modules"


class Program:
    """A program of the folder node, running; enter it to start it."""

    def __init__(self, script: str, *args: str, modules: Path, url: str, cwd: Path):
        self.script = script
        self._args = args
        self._env = {
            **clean_environment(),
            "NODE_PATH": str(modules),
            "COMPAT_REDIS_URL": url,
        }
        self._process: subprocess.Popen[str] | None = None
        self._cwd = cwd

    def __enter__(self) -> Self:
        self._process = self._spawn()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status = self._end()
        # What the test itself has to say comes first.
        if status != 0 and kind is None:
            raise AssertionError(f"{self.script} ended with status {status}")

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def _spawn(self, **streams: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["node", str(SOURCES / self.script), *self._args],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            **streams,
        )

    def _end(self) -> int:
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(scaled(60))
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


class Queue(Program):
    """A Queue of node-resque: call its methods by their names there."""

    def __init__(self, **about: Any) -> None:
        super().__init__("queue.js", **about)
        self.errors: list[str] = []

    def __call__(self, method: str, *args: Any) -> Any:
        """Return the method's result; raise NodeError if it throws."""
        self.ask(method, *args)
        return self.answer()

    def ask(self, method: str, *args: Any) -> None:
        """Call a method, and have its answer later."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([method, *args]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("queue.js has died")
        answer = json.loads(line)
        if "event" in answer:
            raise AssertionError(f"queue.js failed: {answer}")
        self.errors += answer["errors"]
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        super().__exit__(kind, *rest)
        if self.errors and kind is None:
            raise AssertionError(f"queue.js met errors: {self.errors}")

    def _spawn(self, **streams: Any) -> subprocess.Popen[str]:
        return super()._spawn(stdout=subprocess.PIPE, **streams)

    def _end(self) -> int:
        status = super()._end()
        assert self.process.stdout
        self.process.stdout.close()
        return status


class NodeError(Exception):
    """What node-resque threw."""


class Service(Program):
    """A worker or a scheduler of node-resque, which continues by itself."""

    def __init__(self, script: str, *args: str, cwd: Path, **about: Any) -> None:
        super().__init__(script, *args, cwd=cwd, **about)
        self.name = ""
        self._was_killed = False
        self._log = cwd / f"{script}-{id(self)}.log"

    def __enter__(self) -> Self:
        super().__enter__()
        (self.name,) = self.wait_for("started")["values"]
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._was_killed:
            self._end()
            return
        super().__exit__(kind, *rest)
        if kind is None and (errors := list(self.events("error"))):
            raise AssertionError(f"{self.script} met errors: {errors}")

    def kill(self) -> None:
        self._was_killed = True
        super().kill()

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        whole, _, _ = self._log.read_text("utf-8").rpartition("\n")
        for line in whole.splitlines():
            event = json.loads(line)
            if event["event"] == name:
                yield event

    def wait_for(self, name: str, *, count: int = 1) -> dict[str, Any]:
        """Return the last event of this name once there are *count*."""

        def seen() -> list[dict[str, Any]] | None:
            was_running = self.process.poll() is None
            events = list(self.events(name))
            if len(events) >= count:
                return events
            if not was_running:
                log = self._log.read_text("utf-8")
                raise AssertionError(f"{self.script} ended before {name}:\n{log}")
            return None

        return wait_until(seen, what=f"{self.script}: {name} x {count}")[-1]

    def _spawn(self, **streams: Any) -> subprocess.Popen[str]:
        with self._log.open("w") as log:
            return super()._spawn(stdout=log, stderr=subprocess.STDOUT, **streams)


class Node:
    """What a test has of node-resque: makes the programs, one server for all."""

    def __init__(self, modules: Path, url: str, cwd: Path) -> None:
        self._about = {"modules": modules, "url": url, "cwd": cwd}

    def queue(self) -> Queue:
        return Queue(**self._about)

    def worker(self, queues: str, *, timeout: int = 50) -> Service:
        """A worker; *timeout* is in milliseconds, as node-resque has it."""
        return Service("worker.js", queues, str(timeout), **self._about)

    def multiworker(self, queues: str, *, timeout: int = 50) -> Service:
        return Service("multiworker.js", queues, str(timeout), **self._about)

    def scheduler(self, *, stuck: int = 3_600_000, timeout: int = 50) -> Service:
        """A scheduler, which looks every *timeout* milliseconds."""
        return Service("scheduler.js", str(stuck), str(timeout), **self._about)
