"""What delayed jobs cost an idle pool, and two schedulers on one server.

`python -m bench.delayed cost [ITEMS [SECONDS]]`: a pool with ten delayed jobs, and with
1,000,000, and with ten beside as many other keys: the commands that its master sends in
a minute, and the time of its script.
`python -m bench.delayed shared [ITEMS [SECONDS]]`: 2,000 jobs fall due within a minute
while the scheduler of node-resque and two masters move them; how often each ran. Exits
with 1 if a job was lost or doubled, or if many items cost more than ten.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import redis as redis_py

import resqued
from resqued.store.due_jobs import DueJobs
from resqued.system.redis_server import EmbeddedServer
from resqued.wire.keys import Keys
from tests.compat.node_support import Node, install
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import wait_until

LEASE = "resque:resqued:scheduler"
PREFIX = "resque:"
FAR = 4_102_444_800
# Items of one time: a hundred jobs fall due in a second.
AT_ONCE = 100
BATCH = 10_000
# Commands of this program itself.
OURS = ("info", "config", "client", "get", "exists")
# Milliseconds between two looks of node-resque, which moves a job up to half a second
# early: with fewer it moves all, and with these each moves a part.
NODE_PAUSE = 900
# By how much counts and times of two runs may differ.
NOISE = 1.25
ROUNDS = 21
LOOKS = 200


def fill(redis: redis_py.Redis, count: int, *, is_other: bool = False) -> None:
    """Have `count` jobs wait, as resque-scheduler does, by pipelines.

    With `is_other` the same keys have names that mean nothing.
    """
    prefix = "other:" if is_other else PREFIX
    for start in range(0, count, BATCH):
        pipe = redis.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, count)):
            at = FAR + number // AT_ONCE
            item = f'{{"class":"Due","args":[{number}],"queue":"due"}}'
            pipe.rpush(f"{prefix}delayed:{at}", item)
            pipe.sadd(f"{prefix}timestamps:{item}", f"delayed:{at}")
            if number % AT_ONCE == 0:
                pipe.zadd(f"{prefix}delayed_queue_schedule", {str(at): at})
        pipe.execute()


class Site:
    """A server with delayed jobs and other keys, and an idle pool that moves them."""

    def __init__(self, place: Path, count: int, others: int, stack: ExitStack) -> None:
        place.mkdir()
        self.count, self.others = count, others
        server = stack.enter_context(EmbeddedServer.start(place / "server"))
        self.url = server.url
        self.redis = stack.enter_context(redis_py.Redis.from_url(self.url))
        fill(self.redis, count)
        fill(self.redis, others, is_other=True)
        self.daemon = stack.enter_context(pool(self.url, place, queues="idle"))
        self.daemon.wait_for_event("scheduler_elected")

    def commands(self) -> int:
        """Return how many commands the server has got from others."""
        stats = self.redis.info("commandstats")
        return sum(
            value["calls"]
            for name, value in stats.items()
            if not name.removeprefix("cmdstat_").startswith(OURS)
        )

    def look(self, mover: DueJobs) -> float:
        """Have a mover look many times; return the microseconds of its script."""
        self.redis.config_resetstat()
        for _ in range(LOOKS):
            assert mover.move(4.0).state == "elected"
        return self.redis.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]


def cost(items: int = 1_000_000, seconds: int = 60) -> int:
    """Compare ten delayed jobs with many; return the exit status."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The same look takes longer on a server with much memory, whatever it holds.
        counts = ((10, 0), (10, items), (items, 0))
        sites = [
            Site(place / str(number), *pair, stack)
            for number, pair in enumerate(counts)
        ]
        before = [site.commands() for site in sites]
        time.sleep(seconds)
        after = [site.commands() for site in sites]
        rates = [(b - a) / seconds for a, b in zip(before, after, strict=True)]
        # Both in turns, so that both have the same neighbours on this machine.
        micros: list[list[float]] = [[] for _ in sites]
        movers = [DueJobs(site.url, Keys(), "me", timeout=30) for site in sites]
        for site, mover in zip(sites, movers, strict=True):
            site.daemon.signal(signal.SIGQUIT)
            site.daemon.wait()
            site.redis.delete(LEASE)
            mover.open()
        for _ in range(ROUNDS):
            for site, mover, found in zip(sites, movers, micros, strict=True):
                found.append(site.look(mover))
        for site, rate, found in zip(sites, rates, micros, strict=True):
            memory = site.redis.info("memory")["used_memory"] >> 20
            print(
                f"{site.count:>9,} items, {site.others:>9,} others, {memory} MiB:"
                f" {rate:.2f} commands/s, {statistics.median(found):.1f} us of a script"
            )
        for mover in movers:
            mover.close()
    _, few, many = (statistics.median(found) for found in micros)
    return 0 if many <= few * NOISE and rates[2] <= rates[1] * NOISE else 1


def shared(items: int = 2_000, seconds: int = 60) -> int:
    """Have two kinds of schedulers move jobs for a minute; return the exit status."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer.start(place / "server"))
        redis = stack.enter_context(redis_py.Redis.from_url(server.url))
        client = stack.enter_context(resqued.Client(server.url))
        node = Node(install(), server.url, place)
        scheduler = stack.enter_context(node.scheduler(timeout=NODE_PAUSE))
        queue = stack.enter_context(node.queue())
        masters = [stack.enter_context(ours(server.url, place, n)) for n in range(2)]
        for master in masters:
            master.wait_for_event("master_ready")
        scheduler.wait_for("poll")
        begin = redis.time()[0] + 5
        for number in range(items):
            at = begin + number % seconds
            if number % 2:
                queue("enqueueAt", at * 1000, "mixed", "Record", [number])
            else:
                when = datetime.fromtimestamp(at, UTC)
                client.enqueue_at_with_queue("mixed", when, "Record", number)
        wait_until(
            lambda: not client.delayed.count() and not client.info().pending,
            what="all to be moved and run",
            deadline=seconds + 120,
        )
        wait_until(lambda: redis.llen("ran") >= items, what="the last runs")
        by_node = len(list(scheduler.events("transferredJob")))
        ran = Counter(json.loads(raw)["args"][0] for raw in redis.lrange("ran", 0, -1))
        doubled = sum(count > 1 for count in ran.values())
        failed = client.failures.count()
        print(f"ran: {len(ran)} of {items}, doubled: {doubled}, failed: {failed}")
        print(f"moved by node-resque: {by_node}, by masters: {items - by_node}")
        return 0 if len(ran) == items and not doubled and not failed else 1


def ours(url: str, place: Path, number: int) -> Daemon:
    """Return a pool on the queue of both, not yet started."""
    here = place / str(number)
    here.mkdir()
    options = ("mixed", "-n", "2", "-a", "tests.compat.node.jobs", "-r", url)
    return Daemon(*options, cwd=here, env={"COMPAT_REDIS_URL": url})


if __name__ == "__main__":
    way, *numbers = sys.argv[1:] or ("cost",)
    sys.exit({"cost": cost, "shared": shared}[way](*map(int, numbers)))
