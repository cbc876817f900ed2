"""Faults while delayed and recurring jobs fall due.

Three masters share one server through a proxy. Each strike has a share of the delayed
jobs fall due within the next seconds, beside the recurring jobs. Nobody works on their
queues, so that each queue holds what was enqueued, as often as it was. The account
numbers the ticks of recurring jobs like jobs. How late a job is counts from when it was
due, or from when Redis was back.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread

import redis as redis_py

import resqued
from bench.chaos.account import Books
from bench.chaos.site import Setting, Site
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import wait_until

MASTERS = 3
# Delayed jobs of one strike: 5,000 in 20 strikes.
SHARE = 250
RECURRING = 100
# Seconds between two ticks of a recurring job.
EVERY = 3
# Seconds of a strike: longer than an election.
PAUSE = 5
# Seconds for which Redis is away.
AWAY = 30
# The most seconds that a job may be late.
MOST_LATE = 5.0
# Between two looks at the queues, in seconds.
INTERVAL = 0.02
SCHEDULES = "".join(
    f'[schedule.s{n}]\nclass = "Tick"\nqueue = "ticks-{n}"\nevery = "{EVERY}s"\n'
    'missed = "all"\n'
    for n in range(RECURRING)
)


class Lateness(Thread):
    """Looks again and again at what was enqueued; `latest` is the most seconds late.

    `back_at` is since when Redis is there, in seconds since the epoch; 0 if it always
    was; infinite while it is away.
    """

    def __init__(self, site: ScheduleSite) -> None:
        super().__init__(daemon=True)
        self._redis = redis_py.Redis.from_url(site.server.url)
        self._queue, self._last = site.key("queue:due"), site.last_ticks
        self.latest = self.back_at = 0.0
        self._is_over = Event()

    def run(self) -> None:
        """Look until `end`."""
        seen, due = 0, float("inf")
        while not self._is_over.wait(INTERVAL):
            now, back = time.time(), self.back_at
            moved = self._redis.lrange(self._queue, seen, -1)
            seen += len(moved)
            dues = [json.loads(raw)["args"][1] for raw in moved]
            # Of the ticks, the next one of the recurring job that is behind the others.
            dues.append(due)
            due = min(map(int, self._redis.hvals(self._last))) + EVERY
            if back <= now:
                self.latest = max(self.latest, now - max(back, min(dues)))

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self.join()
        self._redis.close()


class ScheduleSite(Site):
    """Masters that enqueue delayed and recurring jobs, and no worker for these."""

    share = SHARE

    def _open(self) -> None:
        self._open_server()
        self.masters: list[Daemon] = []
        for _ in range(MASTERS):
            self.start_master()
        self._stack.callback(self._end_masters)
        self.last_ticks = self.key("resqued:schedules:last")
        wait_until(
            lambda: self.redis.hlen(self.last_ticks) == RECURRING, what="the schedules"
        )
        self._client = self._stack.enter_context(resqued.Client(self.server.url))
        # The ticks before are not part of the account.
        self._ticks_before = self._ticks()
        self.lateness = Lateness(self)
        self.lateness.start()
        self._stack.callback(self.lateness.end)

    def start_master(self) -> None:
        """Start one more master."""
        self._masters += 1
        folder = self.folder / f"master-{self._masters}"
        folder.mkdir()
        self.master = pool(
            self.url,
            folder,
            queues="idle",
            direct_url=self.server.url,
            config=self.setting.config,
            may_hang=True,
            may_log_tracebacks=True,
        ).__enter__()
        self.masters.append(self.master)
        self.master.wait_for_event("master_ready")

    def _end_masters(self) -> None:
        for master in self.masters:
            master.signal(signal.SIGQUIT)
        while self.masters:
            self._leave(self.masters.pop())

    def plan(self, seconds: int) -> None:
        """Have a share of the delayed jobs wait, due within so many seconds."""
        begin = int(self.redis.time()[0]) + 1
        dues = self.random.choices(range(begin, begin + seconds), k=self.share)
        jobs = list(zip(self.take_numbers(self.share), dues, strict=True))
        for due in set(dues):
            when = datetime.fromtimestamp(due, UTC)
            items = [job for job in jobs if job[1] == due]
            self._client.enqueue_many_later(items, at=when, job="Due", queue="due")

    def elected(self) -> Daemon:
        """Wait for an elected master that is alive, and return it."""

        def found() -> Daemon | None:
            holder = self.redis.get(self.key("resqued:scheduler")) or b""
            marks = {f":{m.pid}:".encode(): m for m in self.masters}
            return next((m for mark, m in marks.items() if mark in holder), None)

        return wait_until(found, what="an elected master")

    def replace(self, master: Daemon) -> None:
        """Kill a master, and start another one."""
        os.kill(master.pid, signal.SIGKILL)
        self.masters.remove(master)
        self.start_master()
        self._leave(master)

    def pass_time(self, since: float) -> None:
        """Wait until a strike that began at `since` (time.monotonic()) is over."""
        time.sleep(max(0.0, since + PAUSE - time.monotonic()))

    def finish(self) -> Books:
        """Wait until all that is due was enqueued; return the account."""
        end = time.time()
        with suppress(AssertionError):
            wait_until(
                lambda: (
                    not self.redis.exists(self.key("delayed_queue_schedule"))
                    and min(last for last, _ in self._ticks()) >= end
                ),
                deadline=4 * MOST_LATE,
                what="all that is due to be enqueued",
            )
        self.lateness.end()
        self.slowest.pool = self.lateness.latest
        if self.slowest.pool > MOST_LATE:
            self.problems.append(f"a job was {self.slowest.pool:.2f} s late")
        self._end_masters()
        patterns = ("delayed*", "timestamps:*", "resqued:scheduler", "resqued:line:*")
        left = [k for p in patterns for k in self.redis.scan_iter(self.key(p))]
        # What resque-scheduler writes of each schedule stays; other keys expire.
        at = self.key("delayed:last_enqueued_at").encode()
        self.problems += [
            f"key left behind: {k.decode()}"
            for k in left
            if k != at and self.redis.ttl(k) == -1
        ]
        return self._books()

    def _ticks(self) -> list[tuple[int, int]]:
        """Return of each recurring job the last tick, and how many were enqueued."""
        with self.redis.pipeline(transaction=True) as pipe:
            for n in range(RECURRING):
                pipe.hget(self.last_ticks, f"s{n}").llen(self.key(f"queue:ticks-{n}"))
            found = iter(pipe.execute())
        return [(int(last), length) for last, length in zip(found, found, strict=True)]

    def _books(self) -> Books:
        moved = self.redis.lrange(self.key("queue:due"), 0, -1)
        queued = Counter(int(json.loads(raw)["args"][0]) for raw in moved)
        for before, after in zip(self._ticks_before, self._ticks(), strict=True):
            # The first of them may be when the job was registered, which is no tick.
            ticks = self.take_numbers(after[0] // EVERY - before[0] // EVERY)
            made = after[1] - before[1]
            queued.update(ticks[:made])
            queued.update([ticks[-1]] * max(0, made - len(ticks)))
        return Books(
            numbers=self.numbers,
            rubbish=0,
            started={},
            ended={},
            failed={},
            nameless=0,
            queued=queued,
            processed=self.processed(),
            failures=0,
        )


class AwaySite(ScheduleSite):
    """The same, where two strikes have all of the delayed jobs."""

    share = 10 * SHARE


def kill_elected(site: Site) -> None:
    """Kill the elected master at a random moment, and start another one."""
    assert isinstance(site, ScheduleSite)
    since = time.monotonic()
    site.plan(PAUSE)
    elected = site.elected()
    time.sleep(site.random.random())
    site.replace(elected)
    site.pass_time(since)


def swallow(site: Site) -> None:
    """Lose some replies of scripts, and then be a good network again."""
    assert isinstance(site, ScheduleSite)
    since = time.monotonic()
    site.plan(PAUSE)
    lost = site.proxy.counts().lost
    site.proxy.swallow_replies(count=site.random.randint(1, 4), of="EVALSHA")
    wait_until(lambda: site.proxy.counts().lost > lost, what="a reply to be lost")
    site.proxy.forward()
    site.pass_time(since)


def be_away(site: Site) -> None:
    """Have Redis away from all masters for AWAY seconds."""
    assert isinstance(site, ScheduleSite)
    since = time.monotonic()
    site.plan(AWAY + PAUSE)
    site.elected()
    site.lateness.back_at = float("inf")
    site.proxy.refuse()
    site.proxy.cut()
    time.sleep(AWAY)
    site.proxy.forward()
    site.lateness.back_at = time.time()
    site.pass_time(since + AWAY)


def setting(config: str) -> Setting:
    """Return the setting of these faults, with a configuration beside the schedules."""
    return Setting(config=config + SCHEDULES, is_proxied=True)
