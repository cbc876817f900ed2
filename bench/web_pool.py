"""Retries half of the failures in bulk while a pool works, and counts each job.

A part of `bench.web`, by its option --pool. A job counts itself in a hash, so that each
can be found to have run once, or to wait once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis as redis_py

from bench.web_data import CLASSES, NS
from resqued.wire import payload

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 4
# Jobs that wait at the start have numbers from here on; seconds of each measurement.
FIRST, WAITING, SECONDS = 10_000_000, 100_000, 15.0
_BATCH = 5_000


def fill_queue(redis: redis_py.Redis) -> None:
    """Add jobs for the pool."""
    redis.sadd(f"{NS}:queues", "queue-0")
    for first in range(FIRST, FIRST + WAITING, _BATCH):
        jobs = (
            payload.encode_job(CLASSES[0], [number])
            for number in range(first, min(first + _BATCH, FIRST + WAITING))
        )
        redis.rpush(f"{NS}:queue:queue-0", *jobs)


@contextmanager
def pool(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a pool; jobs that run at its end are waited for."""
    place = urlsplit(url)
    env = {
        **os.environ,
        "WITNESS_HOST": place.hostname or "",
        "WITNESS_PORT": str(place.port),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "resqued", "work", "*", "-r", url]
    command += ["-n", str(WORKERS), "-a", "bench.jobs.witness_jobs"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.send_signal(3)  # QUIT: jobs that run end first
            process.wait(60)


def processed(redis: redis_py.Redis) -> int:
    """Return how many jobs have ended."""
    return int(redis.get(f"{NS}:stat:processed") or 0)


def rate(redis: redis_py.Redis, wait: Callable[[], Any]) -> float:
    """Return how many jobs a second end while `wait` runs."""
    before, began = processed(redis), time.perf_counter()
    wait()
    return (processed(redis) - before) / (time.perf_counter() - began)


def rest() -> None:
    """Wait as long as a measurement takes."""
    time.sleep(SECONDS)


def counts(redis: redis_py.Redis) -> Counter[int]:
    """Return how often each job has run or waits, by its number."""
    found: Counter[int] = Counter()
    for number, times in redis.hscan_iter("witness", count=_BATCH):
        found[int(number)] += int(times)
    for queue in redis.smembers(f"{NS}:queues"):
        key = b"%b:queue:%b" % (NS.encode(), queue)
        for start in range(0, redis.llen(key), _BATCH):
            for raw in redis.lrange(key, start, start + _BATCH - 1):
                found[json.loads(raw)["args"][0]] += 1
    return found


def lost_and_doubled(found: Counter[int], wanted: range) -> tuple[int, int]:
    """Return how many jobs are missing, and how many ran or wait once too often."""
    all_wanted = {*wanted, *range(FIRST, FIRST + WAITING)}
    lost = sum(not found[number] for number in all_wanted)
    more = {n: times - (n in all_wanted) for n, times in found.items()}
    return lost, sum(times for times in more.values() if times > 0)
