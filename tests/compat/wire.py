"""What the wire cases share: a server, a folder, daemons, and their words.

A case states what Redis holds after Ruby Resque did something. Where resqued
differs on purpose, the test states what it leaves instead and names the deviation,
by the name that it has in docs/compatibility.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from resqued import Client
from tests.compat.dump import dump
from tests.support.cli import run_command
from tests.support.daemon import Daemon
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import redis as redis_py

T = TypeVar("T")

OK_1 = b'{"class":"Ok","args":[1]}'
BOOM_1 = b'{"class":"Boom","args":[1]}'
HOLD = b'{"class":"Hold","args":[]}'

# A worker on `default`, as long as it lives.
LIVING = {
    "resque:workers": "set {<me>:default}",
    "resque:worker:<me>:default:started": "string <S>",
    "resque:workers:heartbeat": "hash {<me>:default => <H>}",
    "resque:resqued:workers": "hash {<me>:default => <identity>}",
}

# What a run that failed counts.
FAILED_ONCE = {
    "resque:stat:failed": "string 1",
    "resque:stat:processed": "string 1",
}


def deviates(*names: str) -> Callable[[T], T]:
    """Name the deviations of docs/compatibility.md that a test states."""
    assert names
    return lambda test: test


def failed(*entries: str) -> dict[str, str]:
    """Return the list of failures."""
    lines = [f"[{index}] {entry}" for index, entry in enumerate(entries)]
    return {"resque:failed": "\n".join(["list:", *lines])}


def entry(
    payload: str,
    exception: str,
    error: str,
    backtrace: str = "[]",
    *,
    worker: str = "<me>:default",
    queue: str = "default",
) -> str:
    """Return a failure of just now."""
    return (
        f'{{"failed_at":"<F>","payload":{payload},"exception":"{exception}"'
        f',"error":"{error}","backtrace":{backtrace},"worker":"{worker}"'
        f',"queue":"{queue}"}}'
    )


def no_job(text: str) -> str:
    """Return the payload of a failure whose element was no job."""
    kept = json.dumps(text, ensure_ascii=False)
    return f'{{"class":"Resqued::PayloadError","args":[{kept}]}}'


class Case:
    """One test's server and folder, and the daemons that work there."""

    def __init__(self, redis: redis_py.Redis, url: str, folder: Path) -> None:
        self.redis = redis
        self.url = url
        self.folder = folder
        self.client = Client(url)
        self.names: dict[str, str] = {}

    def push(self, queue: str, *payloads: bytes) -> None:
        """Put payloads on a queue as any client would."""
        self.redis.sadd("resque:queues", queue)
        self.redis.rpush(f"resque:queue:{queue}", *payloads)

    def daemon(self, *args: str, env: Mapping[str, str] | None = None) -> Daemon:
        """Return a daemon on `default`, or what the arguments say; not yet started."""
        queues = () if args and not args[0].startswith("-") else ("default",)
        options = ("-a", "tests.compat.jobs", "-r", self.url)
        return Daemon(*queues, *args, *options, cwd=self.folder, env=env)

    def work(self, *args: str) -> None:
        """Work until the queues are empty."""
        with self.daemon(*args, "--burst") as daemon:
            code = daemon.wait()
            assert code == 0, f"it ended with {code}:\n{daemon.log()}"
            self.know(daemon)

    def command(self, *args: str) -> tuple[int, str]:
        """Run a command of resqued; return its exit code, and what it said."""
        done = run_command(*args, "-r", self.url, cwd=self.folder)
        return done.returncode, done.stdout + done.stderr

    def know(
        self, daemon: Daemon, *, me: str = "<me>", master: str = "<master>"
    ) -> str:
        """Learn the names of a daemon's processes; return its first worker's."""
        spawned = daemon.wait_for_event("worker_spawned")
        host, pid, _ = spawned[0]["worker"].split(":", 2)
        self.names[f"{host}:{pid}"] = me
        self.names[f"{host}:{daemon.pid}"] = master
        return f"{host}:{pid}"

    def configure(self, text: str) -> tuple[str, str]:
        """Write a configuration file; return the options that name it."""
        (self.folder / "resqued.toml").write_text(text)
        return ("-c", "resqued.toml")

    def wait_for_job(self) -> None:
        """Return once a job that takes its time has begun."""
        wait_until((self.folder / "started").exists, what="a job to begin")
        (self.folder / "started").unlink()

    def release(self) -> None:
        """Let the jobs that take their time end."""
        (self.folder / "release").touch()

    def wait_for(self, name: str, value: bytes) -> None:
        """Return once a string has this value."""
        wait_until(lambda: self.redis.get(name) == value, what=f"{name} = {value!r}")

    def dump(self) -> dict[str, str]:
        """Return all that Redis holds."""
        return dump(self.redis, self.names)
