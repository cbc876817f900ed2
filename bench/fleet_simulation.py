"""Simulated masters: real watchers of queues with real connections, and no processes.

Each master is a QueueWatcher, as in a real one, with one worker that is an object here.
The workers reserve and settle with the scripts of real workers, over one connection
that all share. So the server sees what it would see of so many hosts, except for the
heartbeats and the checks of each master.
"""

import heapq
import json
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resqued.ipc.messages import Wake
from resqued.ipc.scoreboard import RunCounts
from resqued.log import logger
from resqued.master.queue_watcher import QueueWatcher
from resqued.store.connection import SingleLink
from resqued.store.queue_tracking import QueueTracking
from resqued.store.runs import FinishedRun, JobIntake, Runs
from resqued.wire import queue_list
from resqued.wire.keys import Keys
from resqued.wire.payload import Reservation
from resqued.wire.worker_entry import Identity

KEYS = Keys("resque")
INTERVAL = 5.0
# How long a job runs, in seconds; and how long the order to wake is on its way.
JOB = 0.005
WAKE = 0.0003


class _CountingLink(SingleLink):
    """The link for what masters read once an interval; counts its commands."""

    count = 0

    def read_each(self, commands):
        self.count += len(commands)
        return super().read_each(commands)

    def call(self, *command):
        self.count += 1
        return super().call(*command)


class _Poller:
    """The poller of all masters: epoll, because poll(2) reads all descriptors."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.callbacks: dict[int, Callable[[float], None]] = {}

    def register(self, fd: int, callback: Callable[[float], None]) -> None:
        self.epoll.register(fd, select.EPOLLIN)
        self.callbacks[fd] = callback

    def unregister(self, fd: int) -> None:
        if self.callbacks.pop(fd, None) is not None:
            self.epoll.unregister(fd)


class _Worker:
    """The one worker of a master, as far as a QueueWatcher sees it."""

    is_gone = False

    def __init__(self, fleet: "SimulatedFleet", number: int) -> None:
        self.fleet = fleet
        self.served = fleet.served
        self.is_idle = True
        self.done = 0
        self.has_job = False
        self.scoreboard = self
        identity = Identity("boot", "pids", number + 1, 1, 60, f"{number:016x}")
        self.runs = Runs(
            fleet.link,
            KEYS,
            worker_id=f"host{number}:{number + 1}:{fleet.served.name}",
            identity=identity.encode(),
            intake=JobIntake(fleet.served),
        )
        self.runs.register()

    def run_counts(self) -> RunCounts:
        return RunCounts(self.done, 0)

    def has_run_since(self, done: int) -> bool:
        return self.has_job or self.done > done

    def send(self, _order: Wake) -> None:
        self.fleet.after(WAKE, lambda: self.reserve(None))

    def reserve(self, finished: FinishedRun | None) -> None:
        _, answer = self.runs.reserve(finished)
        self.done += finished is not None
        self.has_job = isinstance(answer, Reservation)
        if isinstance(answer, Reservation):
            pushed_at = json.loads(answer.payload)["args"][0]
            self.fleet.latencies.append(time.monotonic() - pushed_at)
            run = answer.run
            self.fleet.after(JOB, lambda: self.reserve(FinishedRun(run)))
        else:
            self.is_idle = True
            self.watcher.poll_now()
            self.fleet.turn(self.watcher)


class SimulatedFleet:
    """So many masters with one worker each, in one loop."""

    def __init__(self, url: str, queue: str, masters: int) -> None:
        self.served = queue_list.parse(queue)
        self.latencies: list[float] = []
        self.link = SingleLink(url)
        self.plain = _CountingLink(url)
        self.poller = _Poller()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._due: dict[QueueWatcher, float] = {}
        workers = [_Worker(self, number) for number in range(masters)]
        self.watchers = [self._watch(url, worker) for worker in workers]
        for watcher in self.watchers:
            self.turn(watcher)

    def _watch(self, url: str, worker: _Worker) -> QueueWatcher:
        tracking = QueueTracking(url, KEYS, self.plain, timeout=60)
        watcher = QueueWatcher(
            tracking, lambda: INTERVAL, lambda: (worker,), self.poller, logger.get()
        )
        worker.watcher = watcher
        # The loop asks for the next turn after each message.
        hear = watcher.hear

        def hear_and_turn(now: float) -> None:
            hear(now)
            self.turn(watcher)

        watcher.hear = hear_and_turn
        return watcher

    def after(self, seconds: float, step: Callable[[], None]) -> None:
        """Call a step later."""
        self._count += 1
        at = time.monotonic() + seconds
        heapq.heappush(self._events, (at, self._count, step))

    def turn(self, watcher: QueueWatcher) -> None:
        """Let a master take its turn, and come back when it is due again."""
        now = time.monotonic()
        if watcher.due(now) <= now:
            watcher.turn(now)
        due = watcher.due(now)
        if due != self._due.get(watcher) and due < now + 3600:
            self._due[watcher] = due
            self.after(max(0.0, due - now), lambda: self._come_back(watcher, due))

    def _come_back(self, watcher: QueueWatcher, due: float) -> None:
        if self._due.get(watcher) == due:
            del self._due[watcher]
            self.turn(watcher)

    def run(self, seconds: float) -> None:
        """Let the masters work for so long."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            next_at = min(until, self._events[0][0] if self._events else until)
            wait = max(0.0, next_at - time.monotonic())
            for fd, _ in self.poller.epoll.poll(wait):
                if fd in self.poller.callbacks:
                    self.poller.callbacks[fd](time.monotonic())

    def close(self) -> None:
        """Close all connections."""
        for watcher in self.watchers:
            watcher.close()
        self.link.close()
        self.plain.close()


@contextmanager
def simulated(url: str, queue: str, masters: int) -> Iterator[SimulatedFleet]:
    """Yield a fleet, and close it at the end."""
    fleet = SimulatedFleet(url, queue, masters)
    try:
        yield fleet
    finally:
        fleet.close()
