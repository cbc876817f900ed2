"""Fills a namespace as large as the web front end has to bear, and measures it.

python -m bench.web_data fill redis://localhost:6380 --failures 500000
python -m bench.web_data measure redis://localhost:6380
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import redis as redis_py

from resqued.client import Client
from resqued.store.failure_filter import FailureFilter
from resqued.wire import payload

NS = "resque"
SIZE = 2_000
_BATCH = 2_000
CLASSES = [
    f"{kind}{n}" for kind in ("Mail", "Sync", "Resize", "Bill") for n in range(5)
]
_ERRORS = (
    ("ConnectionError", "no answer from 10.0.{}.{}:443"),
    ("ValueError", "invalid amount '{}' of order {}"),
    ("KeyError", "'user-{}' is not in batch {}"),
    ("Resque::DirtyExit", "Job died with signal {} after {} s"),
    ("JobTimeout", "{} s of {} s"),
)


def failure_entry(number: int, size: int = SIZE) -> bytes:
    """Return a failure of about `size` bytes; every tenth is as Ruby writes it."""
    draw = random.Random(number)
    name, text = _ERRORS[number % len(_ERRORS)]
    is_ruby = number % 10 == 0
    frame = (
        "/app/lib/job_{}.rb:{}:in `perform'" if is_ruby
        else '  File "/app/jobs/job_{}.py", line {}, in perform'
    )  # fmt: skip
    trace = [frame.format(draw.randrange(8), draw.randrange(99)) for _ in range(4)]
    at = time.gmtime(1_760_000_000 + number)
    entry: dict[str, Any] = {
        "failed_at": time.strftime("%Y/%m/%d %H:%M:%S UTC", at),
        "payload": {"class": draw.choice(CLASSES), "args": [number, {"to": "anna"}]},
        "exception": name,
        "error": text.format(draw.randrange(256), draw.randrange(256)),
        "backtrace": trace,
        "worker": f"web{number % 2}:{1000 + number % 300}:*",
        "queue": f"queue-{draw.randrange(50)}",
    }
    # None of host web0: so an action on that host is one on half of all.
    if number % 14 == 7:
        entry["retried_at"] = time.strftime("%Y/%m/%d %H:%M:%S UTC", at)
    text = json.dumps(entry, separators=(",", ":"))
    trace.append("/usr/lib/python3.11/x.py " + "x" * max(0, size - len(text) - 30))
    return json.dumps(entry, separators=(",", ":")).encode()


def add_failures(redis: redis_py.Redis, numbers: range) -> None:
    """Append failures with these numbers."""
    for first in range(0, len(numbers), _BATCH):
        part = numbers[first : first + _BATCH]
        redis.rpush(f"{NS}:failed", *map(failure_entry, part))


def fill(
    redis: redis_py.Redis, *, failures: int, queues: int = 0, workers: int = 0
) -> None:
    """Add failures, queues with a job each, and workers, half of which are busy."""
    add_failures(redis, range(failures))
    for first in range(0, queues, _BATCH):
        pipe = redis.pipeline(transaction=False)
        for number in range(first, min(queues, first + _BATCH)):
            job = payload.encode_job("Mail1", [number])
            pipe.sadd(f"{NS}:queues", f"queue-{number}")
            pipe.rpush(f"{NS}:queue:queue-{number}", job)
        pipe.execute()
    pipe = redis.pipeline(transaction=False)
    for number in range(workers):
        name = f"web{number % 12}:{1000 + number}:queue-{number}"
        pipe.sadd(f"{NS}:workers", name)
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        pipe.hset(f"{NS}:workers:heartbeat", name, now)
        if number % 2:
            job = {"class": "Mail1", "args": [number]}
            record = {"queue": f"queue-{number}", "run_at": now, "payload": job}
            pipe.set(f"{NS}:worker:{name}", json.dumps(record))
    pipe.execute()


def measure(redis: redis_py.Redis, url: str) -> Iterator[str]:
    """Yield what long commands cost the server, in its own time; changes the list."""
    key = f"{NS}:failed"
    length = int(redis.llen(key))
    redis.config_set("slowlog-log-slower-than", 0)
    for name, at in (("head", 0), ("tail", length - 50), ("middle", length // 2)):
        yield f"LRANGE of 50, {name}: {_cost(redis, 'LRANGE', key, at, at + 49)}"
        yield f"LINDEX, {name}: {_cost(redis, 'LINDEX', key, at)}"
    deep = redis.lindex(key, length // 2)
    cost = _cost(redis, "LREM", key, -1, deep)
    yield f"LREM from the tail, {length // 2:,} deep: {cost}"
    redis.config_set("slowlog-log-slower-than", 10_000)
    redis.slowlog_reset()
    with Client(url) as client:
        for action in ("retry", "retry_remove", "remove"):
            yield _sieve(redis, client, action)
    yield f"commands above 10 ms meanwhile: {redis.slowlog_len()}"


def _sieve(redis: redis_py.Redis, client: Client, action: Any) -> str:
    """Act on one of five exceptions, or at the end on half of what is left."""
    names = {"retry": "ValueError", "retry_remove": "KeyError"}
    which = FailureFilter(exception=names.get(action, "ConnectionError"))
    redis.config_resetstat()
    began, steps, changed = time.perf_counter(), 0, 0
    processor = time.process_time()
    for progress in client.failures.seen_steps(which, action, client.failures.seen()):
        steps, changed = steps + 1, progress.changed
    took = time.perf_counter() - began
    spent = time.process_time() - processor
    calls = redis.info("commandstats").get("cmdstat_evalsha", {})
    return (
        f"{action}: {changed:,} of {progress.total:,} in {steps:,} steps, {took:.1f} s,"
        f" processor {spent:.1f} s, server {calls.get('usec', 0) / 1e6:.1f} s,"
        f" {calls.get('usec_per_call', 0) / 1000:.2f} ms a call"
    )


def _cost(redis: redis_py.Redis, *command: Any) -> str:
    redis.slowlog_reset()
    with suppress(redis_py.ResponseError):
        redis.execute_command(*command)
    spent = [
        each["duration"]
        for each in redis.slowlog_get(10)
        if each["command"].upper().startswith(command[0].encode())
    ]
    return f"{max(spent, default=0) / 1000:.2f} ms"


def main() -> None:
    """Run a command of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("fill", "measure"))
    parser.add_argument("url")
    parser.add_argument("--failures", type=int, default=500_000)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2_000)
    given = parser.parse_args()
    with redis_py.Redis.from_url(given.url) as redis:
        if given.command == "fill":
            fill(
                redis,
                failures=given.failures,
                queues=given.queues,
                workers=given.workers,
            )
        else:
            for line in measure(redis, given.url):
                print(line, flush=True)


if __name__ == "__main__":
    main()
