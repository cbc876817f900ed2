"""The site of a fault: a server, a witness and a busy pool, and checks of them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import redis as redis_py

from bench.chaos.account import Books
from bench.chaos.jobs import WITNESS
from bench.chaos.truth import NAMESPACE, untruths
from resqued.system import process
from resqued.system.redis_server import EmbeddedServer
from resqued.wire import payload
from tests.support.asking import controlled
from tests.support.daemon import Daemon
from tests.support.pool import count, failures, left_over
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

WORKERS = 8
# How many jobs wait at least: enough for all workers between two checks.
BACKLOG = 30
# Seconds of a job, mostly short and some long, so that workers are at different steps.
LENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6)
# The most characters of a traceback that are printed.
LONGEST = 2_000
# What Python prints if a job is terminated while it runs a finaliser, from which
# nothing can be raised.
SWALLOWED = re.compile(
    r"^Exception ignored in: .*\nTraceback (?:.*\n)*?.*JobTerminated: .*\n", re.M
)
# In seconds: a pool that has not recovered by then does not recover.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault needs of its site: a configuration, a proxy, a server with a log."""

    config: str = ""
    is_proxied: bool = False
    is_durable: bool = False


@dataclass(slots=True)
class Slowest:
    """The longest time until the registry, and the pool, had recovered, in seconds."""

    registry: float = 0.0
    pool: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A running job: its number, and the pid of its process."""

    number: int
    pid: int


@dataclass
class Site:
    """A context with eight busy workers; `finish` returns the account of the jobs.

    `binary` is the program of the server, None for the embedded one.
    """

    folder: Path
    setting: Setting = field(default_factory=Setting)
    binary: Path | None = None
    namespace: str = NAMESPACE

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.random = random.Random()
        self.numbers = self.rubbish = 0
        self.problems: list[str] = []
        self.slowest = Slowest()
        self.kept: set[str] = set()
        self._masters = 0
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        self._open_server()
        witness = EmbeddedServer.start(self.folder / "witness", binary=self.binary)
        self._stack.enter_context(witness)
        self.witness = self._stack.enter_context(
            redis_py.Redis.from_url(witness.url, decode_responses=True)
        )
        self._witness_url = witness.url
        self.start_master()
        self._stack.callback(self._end_pool)
        self.wait(self.is_whole, "eight workers to register")
        self.wait(self.jobs, "jobs to run")

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_pool(self) -> None:
        # `finish` has ended it already.
        if self.master.is_running():
            self._leave(self.master)

    def _stop_server(self) -> None:
        self.server.stop()

    # The server

    @property
    def redis(self) -> redis_py.Redis:
        """A client of the server that has the jobs."""
        return self._redis

    def _open_server(self) -> None:
        self.start_server()
        self._stack.callback(self._stop_server)
        url = self.url = self.server.url
        if self.setting.is_proxied:
            self.proxy = self._stack.enter_context(Proxy(self.server.port))
            self.url = self.proxy.url
        self._redis = self._stack.enter_context(redis_py.Redis.from_url(url))

    def key(self, name: str) -> str:
        """Return a key of the namespace."""
        return f"{self.namespace}:{name}"

    @property
    def queue(self) -> str:
        """The key of the queue of all jobs."""
        return self.key("queue:default")

    def start_server(self, port: int | None = None) -> None:
        """Start the server, or start it again with its data."""
        durable = self.setting.is_durable
        self.server = EmbeddedServer.start(
            self.folder / "server",
            port=port,
            binary=self.binary,
            append_only=durable,
            # Every reply is on disk: otherwise the server itself would lose jobs.
            # The proxy has a URL of its own.
            options={
                "requirepass": "",
                **({"appendfsync": "always"} if durable else {}),
            },
        )

    # The master

    def start_master(self) -> None:
        """Start a master, with the same arguments each time."""
        self._masters += 1
        folder = self.folder / f"master-{self._masters}"
        folder.mkdir()
        master = controlled(
            self.url,
            folder,
            *("-a", "bench.chaos.jobs", "-N", self.namespace),
            workers=WORKERS,
            config=self.setting.config,
            env={WITNESS: self._witness_url},
            # This class looks for them: see `traceback_in`.
            may_log_tracebacks=True,
        )
        self.master = master.__enter__()

    def restart_master(self, numbers: Iterable[int] = ()) -> None:
        """Start another master when this one has died; wait until all has recovered."""
        since = time.monotonic()
        dead = self.master
        dead.wait()
        self.start_master()
        try:
            self.wait(
                lambda: not dead.processes(), "the dead master's workers to leave"
            )
            self.recover(numbers, since=since)
        finally:
            self._leave(dead)

    def _leave(self, master: Daemon) -> None:
        """Check that nothing of a master is left, and add what is to the problems."""
        try:
            master.__exit__(None, None, None)
        except AssertionError as error:
            self.problems.append(str(error).splitlines()[0].rpartition(": ")[2])
        if traceback := traceback_in(master.log()):
            self.problems.append(f"the pool logged a traceback: {traceback}")

    # Jobs

    def feed(self) -> None:
        """Enqueue jobs if too few wait."""
        waiting = int(self.redis.llen(self.queue))
        if waiting < BACKLOG:
            lengths = self.random.choices(LENGTHS, k=2 * BACKLOG - waiting)
            numbers = self.take_numbers(len(lengths))
            self.enqueue(
                ("Work", number, length)
                for number, length in zip(numbers, lengths, strict=True)
            )

    def take_numbers(self, count: int) -> range:
        """Return new numbers for jobs, which the account at the end must contain."""
        self.numbers += count
        return range(self.numbers - count, self.numbers)

    def enqueue(self, jobs: Iterable[tuple[Any, ...]]) -> None:
        """Enqueue jobs, each a class name and its arguments."""
        encoded = [payload.encode_job(name, args) for name, *args in jobs]
        self.redis.sadd(self.key("queues"), "default")
        self.redis.rpush(self.queue, *encoded)

    def put_rubbish(self, rubbish: Iterable[bytes]) -> None:
        """Add elements that are no jobs at the head of the queue."""
        elements = list(rubbish)
        self.rubbish += len(elements)
        self.redis.lpush(self.queue, *elements)

    def jobs(self) -> list[Job]:
        """Return the running jobs according to the witness."""
        running = self.witness.hgetall("running").items()
        return [
            Job(int(n), int(pid)) for n, pid in running if psutil.pid_exists(int(pid))
        ]

    def pick(self) -> tuple[Job, int]:
        """Wait for a running job; return a random one and its worker's pid."""

        def running() -> tuple[Job, int] | None:
            workers = set(self.master.workers())
            for job in self.random.sample(jobs := self.jobs(), len(jobs)):
                with suppress(psutil.Error):
                    worker = psutil.Process(job.pid).ppid()
                    if worker in workers:
                        return job, worker
            return None

        return self.wait(running, "a job to run")

    # Watching

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition, and return its value; keep the pool busy meanwhile."""

        def feed_and_check() -> Any:
            self.feed()
            return condition()

        return wait_until(feed_and_check, deadline=PATIENCE, what=what)

    def recover(self, numbers: Iterable[int] = (), *, since: float) -> None:
        """Wait until the registry is true, these jobs have ended and the pool is whole.

        Raises AssertionError if that takes more than PATIENCE seconds. `since` is
        the time of the fault, or of its end (time.monotonic()).
        """
        wrong: list[str] = []

        def is_true() -> bool:
            wrong[:] = self.untruths()
            return not wrong

        try:
            self.wait(is_true, "the registry to be true")
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(wrong[:5])}") from None
        self._took("registry", since)
        for number in numbers:
            self.wait(lambda n=number: self.is_over(n), f"job {number} to be over")
        self.wait(self.is_whole, "eight workers to register")
        done = self.processed()
        self.wait(lambda: self.processed() > done, "work to continue")
        self._took("pool", since)

    def _took(self, name: str, since: float) -> None:
        seconds = time.monotonic() - since
        setattr(self.slowest, name, max(getattr(self.slowest, name), seconds))

    def untruths(self) -> list[str]:
        """Return a text for each entry of the registry that is wrong."""
        return untruths(self.redis, self.kept, self.namespace)

    def is_whole(self) -> bool:
        """Return True if eight workers are registered and the registry is true."""
        registered = {w.decode() for w in self.redis.smembers(self.key("workers"))}
        return len(registered - self.kept) == WORKERS and not self.untruths()

    def is_over(self, number: int) -> bool:
        """Return True if a job has ended or has a failure entry."""
        return self.witness.hexists("ended", str(number)) or self.has_entry(number)

    def has_entry(self, number: int) -> bool:
        """Return True if a job is among the newest failures."""
        newest = self.redis.lrange(self.key("failed"), -100, -1)
        return number in (job_number(json.loads(entry)["payload"]) for entry in newest)

    def processed(self) -> int:
        """Return the number of recorded runs."""
        return count(self.redis, "processed", self.namespace)

    # The end

    def finish(self) -> Books:
        """Let the pool finish its jobs and end; return the account of all jobs."""
        self.master.signal(signal.SIGQUIT)
        if (status := self.master.wait(PATIENCE)) != 0:
            self.problems.append(f"the master ended with {status}")
        self._leave(self.master)
        left = left_over(self.redis, self.namespace) - {self.queue.encode()}
        keys = sorted(key.decode() for key in left)
        self.problems += [f"key left behind: {key}" for key in keys]
        books = self._books()
        self.problems += books.contradictions()
        return books

    def losses(self) -> dict[str, frozenset[int]]:
        """Return what the server itself may lose, by the names in Books."""
        return {}

    def last_words(self) -> str:
        """Return the last 20 lines of the last master's log."""
        return "\n".join(self.master.log().splitlines()[-20:])

    def _books(self) -> Books:
        found = failures(self.redis, self.namespace)
        entries = [entry["payload"] for entry in found]
        failed = Counter(job_number(entry) for entry in entries)
        nameless = failed.pop(None, 0)
        queued = (
            job_number(as_job(raw)) for raw in self.redis.lrange(self.queue, 0, -1)
        )
        return Books(
            numbers=self.numbers,
            rubbish=self.rubbish,
            started=numbered(self.witness.hgetall("started")),
            ended=numbered(self.witness.hgetall("ended")),
            failed={n: k for n, k in failed.items() if n is not None},
            nameless=nameless,
            queued=Counter(n for n in queued if n is not None),
            processed=self.processed(),
            failures=count(self.redis, "failed", self.namespace),
            **self.losses(),
        )


def traceback_in(log: str) -> str:
    """Return the first traceback in a log that is not SWALLOWED; "" without one."""
    _, start, rest = SWALLOWED.sub("", log).partition("Traceback")
    return start + rest[:LONGEST]


def as_job(raw: bytes) -> object:
    """Return a payload as it is in a failure entry; None if it is not JSON."""
    with suppress(ValueError):
        return json.loads(raw)
    return None


def job_number(job: object) -> int | None:
    """Return the number of a job of bench/chaos/jobs.py; None for any other payload."""
    match job:
        case {"class": str(), "args": [int(number), *_]}:
            return number
    return None


def numbered(records: Mapping[str, str]) -> dict[int, int]:
    """Return the witness's counts by the number of the job."""
    return {int(number): int(value) for number, value in records.items()}


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process; do nothing if it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def kill(*pids: int) -> None:
    """Kill processes one directly after the other; return when all are dead."""
    alive = {pid: process.start_time(pid) for pid in pids}
    for pid in pids:
        send(pid, signal.SIGKILL)
    wait_until(
        lambda: (
            not any(
                start is not None and process.start_time(pid) == start
                for pid, start in alive.items()
            )
        ),
        what="the end of the killed processes",
    )
