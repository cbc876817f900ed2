"""The search for new jobs, for all idle workers of this master together.

Runs in the master. It looks at the queues when Redis reports a changed queue, when
another master calls it, and at an interval, for messages that are lost and for servers
that send none. core/listening.py says when that is; after a push to an empty queue a
worker is woken before the look.
"""

from __future__ import annotations

import random
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import suppress

from resqued.core.listening import Listening, Role
from resqued.core.timings import NEVER
from resqued.errors import StoreError
from resqued.ipc.messages import Reconnect, Wake
from resqued.log.logger import Logger
from resqued.master import wakeups
from resqued.master.worker_handle import WorkerHandle
from resqued.store.availability import RedisAvailability
from resqued.store.queue_tracking import QueueSnapshot, QueueTracking
from resqued.store.waiting_line import KEPT_EVERY
from resqued.system.poller import Poller
from resqued.wire.queue_list import QueueList

# The number of all workers is read again after at most so many seconds.
MOST_COUNT_AGE = 30.0


class QueueWatcher:
    """Wakes idle workers, one for each job."""

    def __init__(
        self,
        tracking: QueueTracking,
        interval: Callable[[], float],
        serving: Callable[[], Sequence[WorkerHandle]],
        poller: Poller,
        log: Logger,
    ) -> None:
        self._tracking = tracking
        self.values = tracking.values
        self._serving = serving
        self._poller = poller
        self._interval = interval
        self._log = log
        # Called when the connection is lost.
        self.on_lost: Callable[[], None] = lambda: None
        # Called when the server has lost its data.
        self.on_emptied: Callable[[], None] = lambda: None
        # Called with the paused queues, when first read and when they have changed.
        self.on_paused: Callable[[frozenset[str]], None] = lambda _: None
        # When to read them again from a server without tracking.
        self._read_at = 0.0
        self._is_open = self._was_paused = False
        self._fd: int | None = None
        # Keys of another type that were logged.
        self._odd: set[tuple[str, str]] = set()
        # Whether a worker became idle since the last turn.
        self._was_polled = False
        # Queues that were empty and have received a job.
        self._pushed: list[str] = []
        # By queue list: what this master does for it, and the workers that were woken,
        # each with how many runs it had settled then.
        self._listening: dict[QueueList, Listening] = {}
        self._woken: dict[QueueList, list[tuple[WorkerHandle, int]]] = {}
        # The part of all workers that are this master's; when to count them, and since
        # when the connection is open.
        self._share = 1.0
        self._count_at = self._opened_at = self._keep_at = 0.0
        self._redis = RedisAvailability(log)

    def poll_now(self) -> None:
        """Make the next turn see which workers are idle, because one became idle."""
        self._was_polled = True

    @property
    def is_steady(self) -> bool:
        """Whether a `turn` only looks at the queues, and calls no other part."""
        is_usual = self._is_open and not self._tracking.was_emptied
        return is_usual and self.values.is_current

    def hear(self, now: float) -> bool:
        """Read the messages of the server; return True: they are for this part."""
        try:
            self._take_in(now)
        except StoreError as error:
            self._lose(error, now)
        return True

    def _take_in(self, now: float) -> None:
        pushed = self._tracking.drain()
        is_change = bool(pushed) or self._tracking.was_changed
        for queues, each in self._listening.items():
            if is_change and each.heard(now, random.random()):
                self._pushed += filter(queues.serves, pushed)

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        if not self._is_open:
            return self._redis.ready_at
        is_current = self.values.is_current
        if self._was_polled or self._tracking.has_messages or not is_current:
            return 0.0
        due = min((each.look_at for each in self._listening.values()), default=NEVER)
        return due if self._tracking.is_tracking else min(due, self._read_at)

    def turn(self, now: float) -> None:
        """Look at the queues, if that is due and a worker is idle; wake the workers."""
        if now < self._redis.ready_at:
            return
        try:
            if not self._is_open:
                self._open(now)
            if self._tracking.has_messages:
                self._take_in(now)
            if self._tracking.was_emptied:
                # The server has lost the registrations too; woken workers register
                # again.
                self._tracking.was_emptied = False
                self.on_emptied()
                _leave(self._tracking, self._listening)
                _wake((worker, ()) for worker in self._idle())
            self._read_values(now)
            self._follow(now)
            self._answer_calls(now)
            self._wake_at_once(now)
            self._ask(now)
            self._look(now)
            self._join(now)
        except StoreError as error:
            self._lose(error, now)

    def _read_values(self, now: float) -> None:
        """Read the paused queues, if they have changed."""
        values = self.values
        if not self._tracking.is_tracking and now >= self._read_at:
            values.forget()
        if values.is_current:
            return
        self._read_at = now + self._interval()
        if values.read() and values.paused is not None:
            self.on_paused(values.paused)
            # Queues that are paused no longer may have jobs.
            for each in self._listening.values():
                if each.listens:
                    each.look_soon(now)

    def _idle(self) -> list[WorkerHandle]:
        # Only serving workers are woken: one that leaves, or that may not begin yet,
        # waits for no job.
        return [worker for worker in self._serving() if worker.is_idle]

    def _follow(self, now: float) -> None:
        """Note for each queue list whether a worker is idle."""
        was_polled, self._was_polled = self._was_polled, False
        idle = {worker.served for worker in self._idle()}
        if idle and now >= self._count_at:
            self._count(now)
        for queues in idle:
            each = self._listening.setdefault(queues, Listening())
            each.is_idle(now, self._interval(), self._share, random.random())
            # A worker that knows only some of its queues may have left jobs in others.
            if was_polled and (self._share >= 1 or queues.is_dynamic):
                each.look_soon(now)
        for queues, each in self._listening.items():
            if queues not in idle:
                self._call(queues, each.is_busy(self._share), now)

    def _answer_calls(self, now: float) -> None:
        for name in self._tracking.line.take_calls():
            for queues, each in self._listening.items():
                if queues.name == name and not each.called(now):
                    self._call(queues, 1, now)

    def _call(self, queues: QueueList, count: int, now: float) -> None:
        """Call the next masters that wait for jobs of a queue list."""
        if not (count and self._tracking.is_callable):
            return
        reached = self._tracking.line.call(queues.name, count)
        is_any_idle = any(worker.served == queues for worker in self._idle())
        self._listening[queues].answered(reached, now, is_any_idle=is_any_idle)

    def _join(self, now: float) -> None:
        """Go to the end of each line in which this master is to wait."""
        for queues, each in self._listening.items():
            if each.joins_line and self._tracking.is_callable:
                each.joined(self._tracking.line.join(queues.name), now)

    def _wake_at_once(self, now: float) -> None:
        """Wake one worker for each queue with a push, before any look."""
        pushed, self._pushed = dict.fromkeys(self._pushed, 1), []
        if pushed:
            roles = {q: each.role for q, each in self._listening.items()}
            first = {q for q, role in roles.items() if role is Role.FIRST}
            self._wake_for(pushed, first, now)

    def _wake_for(
        self, lengths: Mapping[str, int], lists: Container[QueueList], now: float
    ) -> None:
        """Wake one worker of these lists for each job, and call for the other jobs."""
        idle = [(w, w.served) for w in self._idle() if w.served in lists]
        woken = wakeups.workers_to_wake(lengths, idle)
        _wake(woken)
        for queues in {worker.served for worker, _ in woken}:
            jobs = sum(n for name, n in lengths.items() if queues.serves(name))
            each = self._listening[queues]
            self._woken[queues] = [
                (worker, worker.scoreboard.run_counts().done)
                for worker, _ in woken
                if worker.served == queues
            ]
            calls = each.woke(now, jobs - len(woken), self._share)
            self._call(queues, calls, now)
            if len(woken) == len(idle) and self._share >= 1:
                # Nothing to look for until a worker is idle again.
                each.is_busy(self._share)

    def _ask(self, now: float) -> None:
        """Learn whether woken workers have taken jobs."""
        for queues, each in self._listening.items():
            if each.role is Role.ASKING and now >= each.look_at:
                woken = self._woken.get(queues, ())
                taken = any(worker.has_run_since(done) for worker, done in woken)
                settled = all(worker.is_idle or worker.is_gone for worker, _ in woken)
                calls = each.learned(now, taken=taken, is_settled=settled)
                self._call(queues, calls, now)
                # Workers that are still idle wait for the next call.
                self._was_polled = True

    def _look(self, now: float) -> None:
        """Look at the queues, for each list for which that is due."""
        due = {
            queues: each
            for queues, each in self._listening.items()
            if each.is_due(now, self._interval(), self._share, random.random())
        }
        waiting = {queues for queues, each in due.items() if not each.listens}
        if waiting:
            found = self._tracking.peek(waiting, now)
            lengths = {} if found.is_paused else found.lengths
            every = {queues: self._listening[queues] for queues in waiting}
            wakes = _lists_to_wake_for(lengths, every, self._share, now)
            self._wake_for(lengths, wakes, now)
        if len(waiting) < len(due):
            # A look takes in the messages for every list that listens.
            listening = {q for q, each in self._listening.items() if each.listens}
            look = self._tracking.look(listening, now)
            if (again_at := self._tracking.again_at(now)) is not None:
                for queues in listening:
                    self._listening[queues].look_again(now, again_at)
            for queues in listening & due.keys():
                if not any(map(queues.serves, look.lengths)):
                    each = self._listening[queues]
                    each.saw_nothing(now, self._share, random.random())
            self._act_on(look, listening, now)

    def _count(self, now: float) -> None:
        """Learn which part of all workers is this master's."""
        age = max(now - self._opened_at, self._interval())
        # Not all masters at once, although all may have connected at once.
        wait = min(age, MOST_COUNT_AGE) * random.uniform(0.5, 1.0)
        self._count_at = now + wait
        workers = self._tracking.workers() if self._tracking.is_callable else 0
        self._share = min(1.0, len(self._serving()) / workers) if workers else 1.0
        if now >= self._keep_at:
            self._keep_at = now + KEPT_EVERY
            for queues, each in self._listening.items():
                each.in_line = each.in_line and self._tracking.line.keep(queues.name)

    def _open(self, now: float) -> None:
        self._tracking.open()
        self._is_open = True
        self._fd = self._tracking.fileno()
        if self._fd is not None:
            self._poller.register(self._fd, self.hear)
        self._listening.clear()
        self._opened_at = now
        # When a worker is idle, it is registered, and others may be too.
        self._count_at = now
        if not self._tracking.is_tracking:
            self._log.warning("redis_without_tracking", interval=self._interval())
        if self._redis.end(self._tracking.check_writes):
            # If the server has lost the registrations, woken workers register again.
            _wake((worker, ()) for worker in self._idle())

    def _act_on(
        self, look: QueueSnapshot, lists: Collection[QueueList], now: float
    ) -> None:
        # Workers with many queues are told which have jobs, and never see these.
        for kind, name in set(look.odd) - self._odd:
            self._odd.add((kind, name))
            self._log.error("queue_wrong_type", **{kind: name})
        if look.is_paused != self._was_paused:
            self._was_paused = look.is_paused
            _wake(
                (worker, wakeups.first_choices(look.lengths, worker.served))
                for worker in self._idle()
            )
        elif not look.is_paused:
            self._wake_for(look.lengths, lists, now)

    def _lose(self, error: StoreError, now: float) -> None:
        self._is_open = False
        self.close()
        self._redis.begin(error, now)
        self.on_lost()

    def reconnect(self, url: str, workers: Iterable[WorkerHandle]) -> None:
        """Have this master and its workers open other connections.

        Idle workers ask Redis: if the data is older there, they must register again.
        """
        for worker in workers:
            worker.send(Reconnect())
        self.close()
        self._tracking.use(url)
        self._tracking.was_emptied = True

    def close(self) -> None:
        """Call others in the place of this master, and close the connection."""
        if self._is_open and self._tracking.is_callable:
            _leave(self._tracking, self._listening)
        self._is_open = False
        self._pushed = []
        if self._fd is not None:
            self._poller.unregister(self._fd)
            self._fd = None
        self._tracking.close()


def _lists_to_wake_for(
    lengths: Mapping[str, int],
    waiting: Mapping[QueueList, Listening],
    share: float,
    now: float,
) -> set[QueueList]:
    """Return those of lists that do not listen whose workers are to take the jobs."""
    found = set()
    for queues, each in waiting.items():
        chance = random.random()
        if not any(map(queues.serves, lengths)):
            each.saw_nothing(now, share, chance)
        elif each.saw_jobs(now, share, chance):
            found.add(queues)
    return found


def _leave(tracking: QueueTracking, every: dict[QueueList, Listening]) -> None:
    """Leave the lines, call others in the place of this master, and forget its roles.

    Also if the server was emptied: perhaps it was another database, and the lines are
    still there.
    """
    with suppress(StoreError):
        for queues, each in every.items():
            if each.in_line:
                tracking.line.leave(queues.name)
            if count := each.leave():
                tracking.line.call(queues.name, count)
    every.clear()


def _wake(workers: Iterable[tuple[WorkerHandle, tuple[str, ...] | None]]) -> None:
    for worker, queues in workers:
        worker.is_idle = False
        worker.send(Wake(queues))
