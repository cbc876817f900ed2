"""The elected master killed again and again while delayed and recurring jobs fall due.

`python -m bench.chaos.schedules [KILLS [DELAYED [RECURRING]]]`, 20, 5000 and 100 by
default. Prints what was enqueued how often, and the latest; exits with 1 if a job was
lost, doubled, or more than 5 s late. The jobs go to queues that nobody works on.
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
from tests.support.wait import wait_until

LEASE = "resque:resqued:scheduler"
LAST = "resque:resqued:schedules:last"
MOST_LATE = 5.0
MASTERS = 3
# Seconds between two kills: longer than an election.
PAUSE = 5


class Trial:
    """Masters on one server, and what they enqueue."""

    def __init__(self, place: Path, url: str, stack: ExitStack, recurring: int):
        self.place, self.url, self.stack = place, url, stack
        self.redis = stack.enter_context(redis_py.Redis.from_url(url))
        self.masters: dict[bytes, Daemon] = {}
        self.started = 0
        self.config = "".join(
            f'[schedule.s{n}]\nclass = "Tick"\nqueue = "ticks-{n}"\nevery = "3s"\n'
            'missed = "all"\n'
            for n in range(recurring)
        )

    def start(self) -> None:
        """Start one more master."""
        self.started += 1
        place = self.place / str(self.started)
        place.mkdir()
        made = pool(self.url, place, queues="idle", config=self.config, may_hang=True)
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


def main(kills: int = 20, delayed: int = 5_000, recurring: int = 100) -> int:
    """Run the trial; return the exit status."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer.start(place / "server"))
        trial = Trial(place, server.url, stack, recurring)
        for _ in range(MASTERS):
            trial.start()
        client = stack.enter_context(resqued.Client(server.url))
        begin = trial.redis.time()[0] + 2
        length = kills * PAUSE
        for number in range(delayed):
            due = begin + random.randrange(length)
            when = datetime.fromtimestamp(due, UTC)
            client.enqueue_at_with_queue("due", when, "Due", number, due)
        latest = watch(trial, begin, length, delayed)
        return judge(trial, client, latest, delayed, recurring)


def watch(trial: Trial, begin: int, length: int, delayed: int) -> float:
    """Kill masters while jobs fall due; return how many seconds the latest was late."""
    kill_at = begin
    seen, latest = 0, 0.0
    while trial.redis.time()[0] < begin + length + 2 * MOST_LATE and seen < delayed:
        now = time.time()
        for raw in trial.redis.lrange("resque:queue:due", seen, -1):
            seen += 1
            latest = max(latest, now - json.loads(raw)["args"][1])
        if kill_at <= now < begin + length:
            trial.kill()
            kill_at += PAUSE
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
    sys.exit(main(*map(int, sys.argv[1:])))
