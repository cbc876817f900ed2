"""An application on disk that changes under a running master, as deploys do it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis as redis_py

import resqued
from tests.support.asking import ask_at
from tests.support.daemon import RESQUED, Daemon
from tests.support.pool import NAMESPACE, left_over
from tests.support.wait import wait_until

# A second namespace, which a pool of the application may have.
MAIL = "{mail}"

APPLICATION = """
import os, sys, time
import redis, resqued

RELEASE = {release!r}
{extra}

def note(key, value):
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush(key, value)

@resqued.job(queue="default", name="Tell")
def tell(number, seconds=0.0):
    began = time.time()
    note("started", str(number))
    time.sleep(seconds)
    note("told", f"{{number}} {{RELEASE}} {{os.getppid()}} {{began}} {{time.time()}}")

@resqued.job(queue="default", name="Hold")
def hold(number, path):
    began = time.time()
    note("started", str(number))
    while not os.path.exists(path):
        time.sleep(0.01)
    note("told", f"{{number}} {{RELEASE}} {{os.getppid()}} {{began}} {{time.time()}}")

@resqued.job(queue="default", name="FailIn")
def fail_in(bad):
    note("told", f"0 {{RELEASE}} {{os.getppid()}} 0 0")
    if RELEASE == bad:
        raise ValueError("this release is bad")
"""


class ChildReport(NamedTuple):
    """What a job has told of itself; times are seconds since the epoch."""

    number: str
    release: str
    worker: int
    began: float
    ended: float


class Site:
    """An application, its configuration, and the master that runs it."""

    def __init__(self, place: Path, url: str, redis: redis_py.Redis) -> None:
        self.place = place
        self.app = place / "app"
        self.config = place / "resqued.toml"
        self.url = url
        self._redis = redis
        self.client = resqued.Client(url)
        # The name of a Unix socket has no room for the name of a test.
        self._control = Path(tempfile.mkdtemp(prefix="rq-"))
        self.daemon: Daemon
        self.app.mkdir(exist_ok=True)

    def release(self, name: str, extra: str = "", *, into: Path | None = None) -> None:
        """Write the application, as a release of that name."""
        text = APPLICATION.format(release=name, extra=extra)
        ((into or self.app) / "site_jobs.py").write_text(text)

    def configure(
        self, text: str = "", *, pools: dict[str, int] | None = None, app: str = ""
    ) -> None:
        """Write the configuration: pools as queue list and number of workers."""
        lines = [
            f'[control]\ndirectory = "{self._control}"',
            '[app]\nimport = ["site_jobs"]',
            app or f'directory = "{self.app}"',
            text,
        ]
        for queues, workers in (pools or {"default": 2}).items():
            lines.append(f'[[pool]]\nqueues = "{queues}"\nworkers = {workers}')
        self.config.write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(
        self,
        *args: str,
        cwd: Path | None = None,
        python: str = sys.executable,
        names_url: bool = True,
        **env: str,
    ) -> Iterator[Daemon]:
        """Run a master of it till the end of the block, from when it is ready.

        Without `names_url` its URL is that of the configuration.
        """
        environment = {
            "TEST_REDIS_URL": self.url,
            **env,
        }
        where = ("-r", self.url) if names_url else ()
        command = (python, *RESQUED[1:], "-c", str(self.config), *where, *args)
        place = cwd or self.place
        self.daemon = Daemon(command=command, cwd=place, env=environment)
        # Not in a directory that is about to be another one.
        self.daemon.log_path = self.place / "daemon.log"
        try:
            with self.daemon:
                self.daemon.wait_for_event("master_ready")
                yield self.daemon
            assert left_over(self._redis, NAMESPACE, MAIL) <= {b"told"}
        finally:
            shutil.rmtree(self._control, ignore_errors=True)

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """Ask the master something by its socket; return the last line it answers."""
        return ask_at(self._control / f"{self.daemon.pid}.sock", do=what, **values)

    def reload(self) -> dict[str, Any]:
        """Reload, and return what came of it; of an error the reason alone."""
        answer = self.ask("reload", wait=True)
        if not answer["ok"]:
            told, _, answer["error"] = answer["error"].partition(" failed: ")
            assert told == f"reload to generation {answer['generation']}"
        return answer

    def enqueue(
        self, number: object, seconds: float = 0.0, queue: str = "default"
    ) -> None:
        """Have a job tell of itself, after so many seconds."""
        self.client.enqueue_to(queue, "Tell", number, seconds)

    def hold(self, number: object, queue: str = "default") -> None:
        """Have a job tell of itself when it is let go."""
        self.client.enqueue_to(queue, "Hold", number, str(self._latch(number)))

    def let_go(self, number: object) -> None:
        self._latch(number).touch()

    def _latch(self, number: object) -> Path:
        return self.place / f"let-go-{number}"

    def told(self) -> list[ChildReport]:
        """Return what jobs have told, in order."""
        return [
            ChildReport(number, release, int(worker), float(began), float(ended))
            for number, release, worker, began, ended in (
                line.decode().split() for line in self._redis.lrange("told", 0, -1)
            )
        ]

    def run(self, number: object, queue: str = "default") -> ChildReport:
        """Run a job, and return what it told."""
        self.enqueue(number, queue=queue)
        return self.wait_told(number)

    def wait_told(self, number: object, deadline: float = 30.0) -> ChildReport:
        """Return what the job of a number tells when it has come to its end."""
        return wait_until(
            lambda: next((t for t in self.told() if t.number == str(number)), None),
            what=f"job {number} to tell of itself",
            deadline=deadline,
        )

    def generations(self) -> list[int]:
        """Return the generation of each worker."""
        return [worker["generation"] for worker in self.ask("status")["workers"]]

    def settled(self, generation: int, workers: int) -> None:
        """Wait until there are just so many workers, all of one generation."""
        wait_until(
            lambda: self.generations() == [generation] * workers,
            what=f"{workers} workers of generation {generation}",
            deadline=60,
        )
