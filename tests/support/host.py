"""An installation of resqued on a host with systemd: files, units, jobs, journal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis as redis_py

import resqued
from tests.support.container import Container
from tests.support.site import APPLICATION
from tests.support.wait import wait_until

RESQUED = "/opt/resqued/bin/resqued"
REDIS = "redis://127.0.0.1:6379/0"
UNITS = "/usr/local/lib/systemd/system"
# Directories that both sides see, by where they are in there.
SHARED, PACKAGES, WHEELS = "/srv/shared", "/srv/packages", "/srv/wheels"
# In the environment of every master; jobs have it from there.
_ENVIRONMENT = f"""REDIS_URL={REDIS}
TEST_REDIS_URL={REDIS}
PYTHONDONTWRITEBYTECODE=1
"""
_CONFIGURATION = """
[app]
import = ["site_jobs"]
directory = "/srv/shared/app"
"""
JOBS = """
import json, socket, subprocess, sys
from pathlib import Path

@resqued.job(queue="default", name="Environment")
def environment():
    note("environment", json.dumps(dict(os.environ)))

@resqued.job(queue="default", name="Ordinary")
def ordinary(name):
    Path("/var/lib/resqued", name).write_text("written")
    Path("/tmp", name).write_text("written")
    assert subprocess.run(["sh", "-c", "echo $((6 * 7))"], capture_output=True,
                          text=True, check=True).stdout == "42\\n"
    pid = os.fork()
    if not pid:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"x")
            with server.accept()[0] as peer:
                assert peer.recv(1) == b"x"
    import ctypes
    assert ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 5)() == 5
    note("ordinary", name)

@resqued.job(queue="default", name="Forbidden")
def forbidden(path):
    Path(path).write_text("written")

@resqued.job(queue="default", name="Output")
def output(*command):
    note("output", subprocess.run(command, capture_output=True, text=True).stdout)

@resqued.job(queue="default", name="Complain")
def complain(words):
    raise ValueError(words)
"""


class Host:
    """What a test does there; everything it leaves is taken away by `restore`."""

    def __init__(
        self, container: Container, shared: Path, redis: redis_py.Redis
    ) -> None:
        self.container = container
        self.redis = redis
        self._shared = shared
        self._client = resqued.Client(f"unix://{shared}/redis.sock")
        self._since = "0"

    # Files

    def restore(self) -> None:
        """Stop all that runs, and bring files and units to where a test begins."""
        run = self.container.run
        self.systemctl("kill", "--signal=KILL", "resqued*.service", check=False)
        self.systemctl("stop", "resqued.target", "resqued*.service", check=False)
        self.systemctl("reset-failed", "resqued*.service", check=False)
        run("sh", "-c", "rm -rf /etc/systemd/system/*.wants/resqued*")
        run("sh", "-c", "rm -rf /etc/systemd/system/resqued*.d /etc/resqued/*")
        run("sh", "-c", "rm -rf /etc/default/resqued* /var/lib/resqued/*")
        self.systemctl("daemon-reload")
        self.redis.flushall()
        self.release("one")
        self.configure()
        self.container.write("/etc/default/resqued", _ENVIRONMENT)
        self._since = f"{time.time():.6f}"

    def release(self, name: str, extra: str = "") -> None:
        """Write the application, as a release of that name."""
        app = self._shared / "app"
        app.mkdir(exist_ok=True)
        text = APPLICATION.format(release=name, extra=f"{JOBS}{extra}")
        (app / "site_jobs.py").write_text(text)

    def configure(
        self, text: str = "", *, pools: dict[str, int] | None = None, name: str = ""
    ) -> None:
        """Write the configuration, or with a name that of an instance."""
        lines = [text] if name else [_CONFIGURATION, text]
        for queues, workers in (pools or {}).items():
            lines.append(f'[[pool]]\nqueues = "{queues}"\nworkers = {workers}')
        path = f"/etc/resqued/{name or 'resqued'}.toml"
        self.container.write(path, "\n".join(lines) + "\n", "0640")
        self.container.run("chgrp", "resqued", path)

    def environment(self, text: str, instance: str = "") -> None:
        """Write what stands in the environment file of an instance, or of all."""
        dash = f"-{instance}" if instance else ""
        self.container.write(
            f"/etc/default/resqued{dash}", text if dash else _ENVIRONMENT + text
        )

    def drop_in(self, unit: str, text: str) -> None:
        """Change a unit as an admin does."""
        self.container.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.systemctl("daemon-reload")

    # Units

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl, and return what it prints."""
        return self.container.run("systemctl", *words, check=check).stdout

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", unit, "--value", "-p", name).strip()

    def state(self, unit: str) -> str:
        """Return the state of a unit, such as active."""
        return self.show(unit, "ActiveState")

    def master(self, unit: str) -> int:
        """Return the pid of a unit's master, in there."""
        return int(self.show(unit, "MainPID"))

    def wait_for(self, unit: str, name: str, value: str, deadline: float = 60) -> None:
        """Wait until a property of a unit has a value."""
        wait_until(
            lambda: self.show(unit, name) == value,
            what=f"{name}={value} of {unit}; the journal: {self.tail()}",
            deadline=deadline,
        )

    def status(self, unit: str) -> str:
        """Return what the master of a unit says of itself."""
        return self.show(unit, "StatusText")

    def wait_for_status(self, unit: str, pattern: str, deadline: float = 60) -> str:
        """Wait until a master says something, and return it."""
        return wait_until(
            lambda: line if re.search(pattern, line := self.status(unit)) else "",
            what=f"{pattern} in the status of {unit}; the journal: {self.tail()}",
            deadline=deadline,
        )

    def kill(self, pid: int, signal: str) -> None:
        """Send a signal to a process in there."""
        self.container.run("kill", f"-{signal}", str(pid))

    def processes(self, unit: str) -> dict[int, str]:
        """Return the processes of a unit, by pid with their titles."""
        group = self.show(unit, "ControlGroup")
        if not group:
            return {}
        script = (
            'find "$1" -name cgroup.procs -exec cat {} + | xargs -r ps -o pid=,args= -p'
        )
        lines = self.container.run(
            "sh", "-c", script, "list", f"/sys/fs/cgroup{group}", check=False
        ).stdout.splitlines()
        pairs = (line.split(None, 1) for line in lines)
        return {int(pid): title for pid, title in pairs}

    def workers(self, unit: str) -> list[int]:
        """Return the pids of a unit's workers."""
        return sorted(
            pid
            for pid, title in self.processes(unit).items()
            if re.search(r"resque-\S+: (Waiting|Forked|Starting)", title)
        )

    # Jobs

    def enqueue(self, queue: str, name: str, *args: object) -> None:
        """Put a job on a queue."""
        self._client.enqueue_to(queue, name, *args)

    def tell(self, queue: str, number: object, seconds: float = 0.0) -> None:
        """Have a job tell of itself, after so many seconds."""
        self.enqueue(queue, "Tell", number, seconds)

    def told(self) -> list[tuple[str, str]]:
        """Return number and release of each job that has told, in order."""
        lines = (line.split() for line in self.redis.lrange("told", 0, -1))
        return [(words[0].decode(), words[1].decode()) for words in lines]

    def wait_told(self, *numbers: object, deadline: float = 60) -> None:
        """Wait until these jobs have told."""
        wanted = set(map(str, numbers))
        wait_until(
            lambda: wanted <= {number for number, _ in self.told()},
            what=f"jobs {wanted} to tell; the journal: {self.tail()}",
            deadline=deadline,
        )

    def wait_started(self, count: int = 1) -> None:
        """Wait until so many jobs have begun."""
        wait_until(
            lambda: self.redis.llen("started") >= count,
            what=f"{count} jobs to begin",
            deadline=60,
        )

    def failures(self) -> list[dict[str, Any]]:
        """Return the failures in Redis, the oldest first."""
        return [
            json.loads(entry) for entry in self.redis.lrange("resque:failed", 0, -1)
        ]

    def registered(self) -> list[str]:
        """Return the queue lists of the workers in Redis, sorted."""
        ids = self.redis.smembers("resque:workers")
        return sorted(each.decode().split(":", 2)[2] for each in ids)

    # The journal

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the records of this test that match."""
        # Not by cursor: with matches, journalctl leaves out the first one after it.
        text = self.container.run(
            *("journalctl", "--output=json", "--all", f"--since=@{self._since}"),
            *matches,
            check=False,
        ).stdout
        return [json.loads(line) for line in text.splitlines() if line]

    def messages(self, *matches: str) -> list[str]:
        """Return the messages of this test that match."""
        return [str(record.get("MESSAGE")) for record in self.journal(*matches)]

    def wait_for_message(self, is_it: Callable[[str], bool], *matches: str) -> str:
        """Wait until there is such a message, and return it."""
        return wait_until(
            lambda: next(filter(is_it, self.messages(*matches)), ""),
            what=f"a message; there are {self.tail()}",
            deadline=60,
        )

    def tail(self) -> str:
        """Return the last messages, for who wants to know what went wrong."""
        return "\n".join(self.messages()[-25:])
