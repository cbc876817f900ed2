"""What delayed jobs cost an idle pool, and two schedulers on one server.

`python -m bench.delayed cost [ITEMS [SECONDS]]`: a pool with ten delayed jobs, and with
1,000,000: the commands that its master sends in a minute, and the time of its script.
`python -m bench.delayed shared [ITEMS [SECONDS]]`: 2,000 jobs fall due within a minute
while the scheduler of node-resque and two masters move them; how often each ran. Exits
with 1 if a job was lost or doubled, or if many items cost more than ten.
"""

from __future__ import annotations

import json
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


def fill(redis: redis_py.Redis, count: int) -> None:
    """Have `count` jobs wait, as resque-scheduler does, by pipelines."""
    for start in range(0, count, BATCH):
        pipe = redis.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, count)):
            at = FAR + number // AT_ONCE
            item = f'{{"class":"Due","args":[{number}],"queue":"due"}}'
            pipe.rpush(f"{PREFIX}delayed:{at}", item)
            pipe.sadd(f"{PREFIX}timestamps:{item}", f"delayed:{at}")
            if number % AT_ONCE == 0:
                pipe.zadd(f"{PREFIX}delayed_queue_schedule", {str(at): at})
        pipe.execute()


def spent(redis: redis_py.Redis, seconds: float) -> tuple[float, float, float]:
    """Return commands a second, script calls a second, and microseconds of a call."""
    redis.config_resetstat()
    time.sleep(seconds)
    stats = redis.info("commandstats")
    calls = {
        name.removeprefix("cmdstat_"): value
        for name, value in stats.items()
        if not name.removeprefix("cmdstat_").startswith(OURS)
    }
    total = sum(value["calls"] for value in calls.values())
    scripts = [v for name, v in calls.items() if name in ("evalsha", "eval", "fcall")]
    count = sum(v["calls"] for v in scripts)
    micros = sum(v["usec"] for v in scripts) / count if count else 0.0
    return total / seconds, count / seconds, micros


def cost(items: int = 1_000_000, seconds: int = 60) -> int:
    """Compare ten delayed jobs with many; return the exit status."""
    found = []
    for count in (10, items):
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(EmbeddedServer.start(place / "server"))
            redis = stack.enter_context(redis_py.Redis.from_url(server.url))
            begin = time.monotonic()
            fill(redis, count)
            filled = time.monotonic() - begin
            daemon = stack.enter_context(pool(server.url, place, queues="idle"))
            daemon.wait_for_event("scheduler_elected")
            commands, looks, micros = spent(redis, seconds)
            memory = redis.info("memory")["used_memory"] >> 20
            print(
                f"{count:>9,} items (filled in {filled:.1f} s, {memory} MiB):"
                f" {commands:.2f} commands/s, {looks:.2f} scripts/s of {micros:.0f} us"
            )
            found.append((commands, micros))
            redis.flushall()
    (few, many) = found
    is_equal = all(b <= a * NOISE for a, b in zip(few, many, strict=True))
    return 0 if is_equal else 1


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
