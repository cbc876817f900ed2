"""The place of a fault: a server, a witness, a pool at work, and who watches it."""

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
from bench.chaos.truth import NS, untruths
from resqued.system import process
from resqued.system.redis_server import EmbeddedServer
from resqued.wire import payload
from tests.support.asking import controlled
from tests.support.daemon import Daemon
from tests.support.pool import count, left_over
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

QUEUE = f"{NS}queue:default"
WORKERS = 8
# What waits at any time: enough for every worker, also while nobody looks.
BACKLOG = 30
# Mostly short, some long: at any moment workers are at every step of a job.
LENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6)
# As much of a traceback as a person needs.
TOLD = 2_000
# What Python says, and goes on, if a job is told to terminate just as it runs a
# finaliser: nothing can be raised from there.
SWALLOWED = re.compile(
    r"^Exception ignored in: .*\nTraceback (?:.*\n)*?.*JobTerminated: .*\n", re.M
)
# Who has not recovered by then does not.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault needs of its place."""

    config: str = ""
    is_proxied: bool = False
    is_durable: bool = False


@dataclass(slots=True)
class Slowest:
    """How long it took until all was well again, at worst, in seconds."""

    registry: float = 0.0
    pool: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job that runs: its number, and the process that it runs in."""

    number: int
    pid: int


@dataclass
class Site:
    """Enter it to have eight busy workers; `finish` tells what became of the jobs.

    `binary` is the server's program, in place of the embedded one.
    """

    folder: Path
    setting: Setting = field(default_factory=Setting)
    binary: Path | None = None

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
        self.start_server()
        self._stack.callback(self._stop_server)
        witness = EmbeddedServer.start(self.folder / "witness", binary=self.binary)
        self._stack.enter_context(witness)
        self.url = self.server.url
        if self.setting.is_proxied:
            self.proxy = self._stack.enter_context(Proxy(self.server.port))
            self.url = self.proxy.url
        self.redis = self._stack.enter_context(redis_py.Redis.from_url(self.server.url))
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
        # After `finish` it has ended already.
        if self.master.is_running():
            self._leave(self.master)

    def _stop_server(self) -> None:
        self.server.stop()

    # The server

    def start_server(self, port: int | None = None) -> None:
        """Start the server, or start it again with the data that it has."""
        durable = self.setting.is_durable
        self.server = EmbeddedServer.start(
            self.folder / "server",
            port=port,
            binary=self.binary,
            append_only=durable,
            # What was answered is on disk: anything less loses by itself.
            options={"appendfsync": "always"} if durable else {},
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
            *("-a", "bench.chaos.jobs"),
            workers=WORKERS,
            config=self.setting.config,
            env={WITNESS: self._witness_url},
            # They are looked for here: see `traceback_in`.
            may_log_tracebacks=True,
        )
        self.master = master.__enter__()

    def restart_master(self, numbers: Iterable[int] = ()) -> None:
        """Start another as soon as the master has died; see that all recovers."""
        since = time.monotonic()
        dead = self.master
        dead.wait()
        self.start_master()
        try:
            self.wait(lambda: not dead.processes(), "the dead master's to leave")
            self.recover(numbers, since=since)
        finally:
            self._leave(dead)

    def _leave(self, master: Daemon) -> None:
        """See that nothing of a master is left; tell what is."""
        try:
            master.__exit__(None, None, None)
        except AssertionError as error:
            self.problems.append(str(error).splitlines()[0].rpartition(": ")[2])
        if told := traceback_in(master.log()):
            self.problems.append(f"it logged a traceback: {told}")

    # Jobs

    def feed(self) -> None:
        """See that there is work for every worker."""
        waiting = int(self.redis.llen(QUEUE))
        if waiting < BACKLOG:
            lengths = self.random.choices(LENGTHS, k=2 * BACKLOG - waiting)
            numbers = self.take_numbers(len(lengths))
            self.enqueue(
                ("Work", number, length)
                for number, length in zip(numbers, lengths, strict=True)
            )

    def take_numbers(self, count: int) -> range:
        """Take numbers for jobs: each of them is to be accounted for."""
        self.numbers += count
        return range(self.numbers - count, self.numbers)

    def enqueue(self, jobs: Iterable[tuple[Any, ...]]) -> None:
        """Enqueue jobs, each with its class first."""
        encoded = [payload.encode_job(name, args) for name, *args in jobs]
        self.redis.sadd(f"{NS}queues", "default")
        self.redis.rpush(QUEUE, *encoded)

    def put_rubbish(self, rubbish: Iterable[bytes]) -> None:
        """Put what is no job where the next job is taken from."""
        elements = list(rubbish)
        self.rubbish += len(elements)
        self.redis.lpush(QUEUE, *elements)

    def jobs(self) -> list[Job]:
        """Return the jobs that run, as far as the witness knows."""
        running = self.witness.hgetall("running").items()
        return [
            Job(int(n), int(pid)) for n, pid in running if psutil.pid_exists(int(pid))
        ]

    def pick(self) -> tuple[Job, int]:
        """Return some job that runs, and its worker's pid."""

        def found() -> tuple[Job, int] | None:
            workers = set(self.master.workers())
            for job in self.random.sample(jobs := self.jobs(), len(jobs)):
                with suppress(psutil.Error):
                    worker = psutil.Process(job.pid).ppid()
                    if worker in workers:
                        return job, worker
            return None

        return self.wait(found, "a job to run")

    # Watching

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition while the pool is kept at work."""

        def looked() -> Any:
            self.feed()
            return condition()

        return wait_until(looked, deadline=PATIENCE, what=what)

    def recover(self, numbers: Iterable[int] = (), *, since: float) -> None:
        """See the registry come true, the jobs accounted for, the pool whole."""
        untrue: list[str] = []

        def is_true() -> bool:
            untrue[:] = self.untruths()
            return not untrue

        try:
            self.wait(is_true, "the registry to be true")
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(untrue[:5])}") from None
        self._took("registry", since)
        for number in numbers:
            self.wait(lambda n=number: self.is_over(n), f"job {number} to be over")
        self.wait(self.is_whole, "eight workers to register")
        done = self.processed()
        self.wait(lambda: self.processed() > done, "work to go on")
        self._took("pool", since)

    def _took(self, name: str, since: float) -> None:
        seconds = time.monotonic() - since
        setattr(self.slowest, name, max(getattr(self.slowest, name), seconds))

    def untruths(self) -> list[str]:
        """Tell what the registry says of workers that is not so."""
        return untruths(self.redis, self.kept)

    def is_whole(self) -> bool:
        """Say whether as many workers are registered as are wanted."""
        registered = {w.decode() for w in self.redis.smembers(f"{NS}workers")}
        return len(registered - self.kept) == WORKERS and not self.untruths()

    def is_over(self, number: int) -> bool:
        """Say whether a job has ended or has its entry."""
        return self.witness.hexists("ended", str(number)) or self.has_entry(number)

    def has_entry(self, number: int) -> bool:
        """Say whether a job is among the newest failures."""
        newest = self.redis.lrange(f"{NS}failed", -100, -1)
        return number in (pluralize(json.loads(entry)["payload"]) for entry in newest)

    def processed(self) -> int:
        """Return how many runs are recorded."""
        return count(self.redis, "processed")

    # The end

    def finish(self) -> Books:
        """Let the pool finish what it has in hand; answer what is written down."""
        self.master.signal(signal.SIGQUIT)
        if (status := self.master.wait(PATIENCE)) != 0:
            self.problems.append(f"the master ended with {status}")
        self._leave(self.master)
        left = sorted(key.decode() for key in left_over(self.redis) - {QUEUE.encode()})
        self.problems += [f"key left behind: {key}" for key in left]
        books = self._books()
        self.problems += books.contradictions()
        return books

    def last_words(self) -> str:
        """Return the end of what the last master logged."""
        return "\n".join(self.master.log().splitlines()[-20:])

    def _books(self) -> Books:
        entries = [
            json.loads(e)["payload"] for e in self.redis.lrange(f"{NS}failed", 0, -1)
        ]
        failed = Counter(pluralize(entry) for entry in entries)
        nameless = failed.pop(None, 0)
        queued = (pluralize(as_job(raw)) for raw in self.redis.lrange(QUEUE, 0, -1))
        return Books(
            numbers=self.numbers,
            rubbish=self.rubbish,
            started=numbered(self.witness.hgetall("started")),
            ended=numbered(self.witness.hgetall("ended")),
            failed={n: k for n, k in failed.items() if n is not None},
            nameless=nameless,
            queued=Counter(n for n in queued if n is not None),
            processed=self.processed(),
            failures=count(self.redis, "failed"),
        )


def traceback_in(log: str) -> str:
    """Return the first traceback that is nobody's but ours; "" if there is none."""
    _, found, rest = SWALLOWED.sub("", log).partition("Traceback")
    return found + rest[:TOLD]


def as_job(raw: bytes) -> object:
    """Return a payload as it is in a failure entry; None if it is no JSON."""
    with suppress(ValueError):
        return json.loads(raw)
    return None


def pluralize(job: object) -> int | None:
    """Return the number of a job of ours; None for what is no such job."""
    match job:
        case {"class": str(), "args": [int(number), *_]}:
            return number
    return None


def numbered(said: Mapping[str, str]) -> dict[int, int]:
    """Return what the witness was told of each job, by its number."""
    return {int(number): int(value) for number, value in said.items()}


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process that may have gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def kill(*pids: int) -> None:
    """Kill processes, one right after the other; return when they are dead."""
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
        what="the end of what was killed",
    )
