"""Faults again and again while delayed and recurring jobs fall due.

`python -m bench.chaos.schedules [FAULT [TIMES [DELAYED [RECURRING]]]]`, kill, 20, 5000
and 100 by default. The faults: `kill` the elected master, `swallow` replies of scripts,
have Redis `away` for 30 s. Prints what was enqueued how often, and the latest; exits
with 1 if a job was lost, doubled, or more than 5 s late, counted from when Redis was
back if it was away. The jobs go to queues that nobody works on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import redis as redis_py

import resqued
from resqued.system.redis_server import EmbeddedServer
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

LEASE = "resque:resqued:scheduler"
LAST = "resque:resqued:schedules:last"
MOST_LATE = 5.0
MASTERS = 3
# Seconds between two faults: longer than an election.
PAUSE = 5
AWAY = 30
# The proxy has a URL of its own, without a password.
OPEN = {"requirepass": ""}
# So that a master notices within a fault that a reply does not come.
QUICK = "[redis]\ntimeout = '500ms'\n"


class Trial:
    """Masters on one server, and what they enqueue."""

    def __init__(self, place: Path, url: str, stack: ExitStack, recurring: int):
        self.place, self.url, self.stack = place, url, stack
        port = int(url.rpartition(":")[2].partition("/")[0])
        self.proxy = stack.enter_context(Proxy(port))
        # Since when Redis is there, in seconds since the epoch; 0 if it always was.
        self.back_at = 0.0
        self.redis = stack.enter_context(redis_py.Redis.from_url(url))
        self.masters: dict[bytes, Daemon] = {}
        self.started = 0
        self.config = QUICK + "".join(
            f'[schedule.s{n}]\nclass = "Tick"\nqueue = "ticks-{n}"\nevery = "3s"\n'
            'missed = "all"\n'
            for n in range(recurring)
        )

    def start(self) -> None:
        """Start one more master."""
        self.started += 1
        place = self.place / str(self.started)
        place.mkdir()
        made = pool(
            self.proxy.url,
            place,
            queues="idle",
            direct_url=self.url,
            config=self.config,
            may_hang=True,
        )
        daemon = self.stack.enter_context(made)
        daemon.wait_for_event("master_ready")
        self.masters[f":{daemon.pid}:".encode()] = daemon

    def kill(self) -> None:
        """Kill the elected master, and start another one."""
        holder = wait_until(lambda: self.redis.get(LEASE), what="an elected master")
        found = [mark for mark in self.masters if mark in holder]
        if found:
            os.kill(self.masters.pop(found[0]).pid, signal.SIGKILL)
            self.start()

    def swallow(self) -> None:
        """Lose some replies of scripts, and then be a good network again."""
        lost = self.proxy.counts().lost
        self.proxy.swallow_replies(count=random.randint(1, 4), of="EVALSHA")
        wait_until(lambda: self.proxy.counts().lost > lost, what="a reply to be lost")
        self.proxy.forward()

    def away(self) -> None:
        """Have Redis away for AWAY seconds."""
        self.proxy.refuse()
        self.proxy.cut()
        time.sleep(AWAY)
        self.proxy.forward()
        self.back_at = time.time()


def main(
    fault: str = "kill", times: int = 20, delayed: int = 5_000, recurring: int = 100
) -> int:
    """Run the trial; return the exit status."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(
            EmbeddedServer.start(place / "server", options=OPEN)
        )
        trial = Trial(place, server.url, stack, recurring)
        for _ in range(MASTERS):
            trial.start()
        client = stack.enter_context(resqued.Client(server.url))
        begin = trial.redis.time()[0] + 2
        length = times * (PAUSE + (AWAY if fault == "away" else 0))
        for number in range(delayed):
            due = begin + random.randrange(length)
            when = datetime.fromtimestamp(due, UTC)
            client.enqueue_at_with_queue("due", when, "Due", number, due)
        latest = watch(trial, fault, begin, length, delayed)
        return judge(trial, client, latest, delayed, recurring)


def watch(trial: Trial, fault: str, begin: int, length: int, delayed: int) -> float:
    """Cause faults while jobs fall due; return how many seconds the latest was late."""
    strike = {"kill": trial.kill, "swallow": trial.swallow, "away": trial.away}[fault]
    strike_at: float = begin
    seen, latest = 0, 0.0
    while trial.redis.time()[0] < begin + length + 2 * MOST_LATE and seen < delayed:
        now = time.time()
        # Its jobs are judged by when it came back; the look after that is the first.
        back = trial.back_at
        for raw in trial.redis.lrange("resque:queue:due", seen, -1):
            seen += 1
            latest = max(latest, now - max(back, json.loads(raw)["args"][1]))
        if strike_at <= now < begin + length:
            strike()
            strike_at = time.time() + PAUSE
        time.sleep(0.05)
    return latest


def judge(
    trial: Trial, client: resqued.Client, latest: float, delayed: int, recurring: int
) -> int:
    """Print what there is; return 1 if it is not what it should be."""
    moved = Counter(
        job["args"][0]
        for job in map(json.loads, trial.redis.lrange("resque:queue:due", 0, -1))
    )
    ticks = []
    for number in range(recurring):
        with trial.redis.pipeline(transaction=True) as pipe:
            pipe.llen(f"resque:queue:ticks-{number}").hget(LAST, f"s{number}")
            ticks.append(pipe.execute()[0])
    doubled = sum(count > 1 for count in moved.values())
    print(f"masters started: {trial.started}")
    print(f"delayed: {len(moved)} of {delayed}, doubled: {doubled}")
    print(f"latest: {latest:.2f} s; wait: {client.delayed.count()}")
    print(f"ticks of each recurring job: {min(ticks)} to {max(ticks)}")
    is_good = len(moved) == delayed and not doubled and latest <= MOST_LATE
    return 0 if is_good and max(ticks) - min(ticks) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2], *map(int, sys.argv[2:])))
