"""Bulk operations on long lists: seconds, the longest command, memory, linearity.

    .venv/bin/python bench/bulk.py [--redis URL] [--scale 0.1] [--realtime]

It fills an empty database, the one of the embedded Valkey by default, and prints a
table in Markdown. Each operation runs in a process of its own, whose memory is that of
its peak. The longest command is by SLOWLOG: the time that other clients wait, with the
time that other processes of the machine took from the server meanwhile.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import realtime
import redis
from errors import BenchError
from server import Server, open_server

import resqued
from resqued.store.bulk import last_of
from resqued.store.failure_filter import FailureFilter
from resqued.wire import payload
from resqued.wire.payload import FailureInfo

QUEUE = "resque:queue:bulk"
FAILED = "resque:failed"
JOBS = (100_000, 1_000_000)
FAILURES = (50_000, 500_000)
BATCH = 5_000
BACKTRACE = tuple(f"  File app/{n}.py, line {n}, in method_{n}" for n in range(8))


@dataclass(frozen=True)
class Case:
    """One operation, what it works on, and how many elements it must change."""

    name: str
    sizes: tuple[int, ...]
    fill: Callable[[redis.Redis, int], None]
    act: Callable[[resqued.Client], int]
    share: float


def jobs(of_class: int) -> Callable[[redis.Redis, int], None]:
    """Return what fills a queue, in which each n-th job is of the class Old."""

    def text(n: int) -> str:
        name = "app.jobs.Old" if n % of_class == 0 else "app.jobs.New"
        return json.dumps({"class": name, "args": [n, "some text"]})

    return lambda client, count: _push(client, QUEUE, map(text, range(count)))


def failures(client: redis.Redis, count: int) -> None:
    """Fill the list of failures: half of them of the class Old."""
    _push(client, FAILED, map(_failure, range(count)))


def retried_failures(client: redis.Redis, count: int) -> None:
    """Fill the list of failures: half of them were retried."""

    def entry(n: int) -> bytes:
        failure = _failure(n)
        return payload.retried(failure, _failed_at(n) + 60) if n % 2 == 0 else failure

    _push(client, FAILED, map(entry, range(count)))


def _failure(n: int) -> bytes:
    name = "app.jobs.Old" if n % 2 == 0 else "app.jobs.New"
    return payload.failure(
        FailureInfo("ValueError", f"bad thing {n}", BACKTRACE),
        payload=payload.encode_job(name, (n, "some text")).encode(),
        worker="host1:27668:bulk",
        queue="bulk",
        now=_failed_at(n),
    )


def _failed_at(n: int) -> float:
    """Return when the n-th failure came, in seconds since the epoch."""
    return 1_795_433_916.0 + n


def _push(client: redis.Redis, key: str, texts: Iterator[str | bytes]) -> None:
    batch: list[str | bytes] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            client.rpush(key, *batch)
            batch.clear()
    if batch:
        client.rpush(key, *batch)


def dequeue(client: resqued.Client) -> int:
    """Remove the jobs of the class Old."""
    return client.dequeue("app.jobs.Old", queue="bulk")


def remove(client: resqued.Client) -> int:
    """Remove the failures of the class Old."""
    which = FailureFilter(class_name="app.jobs.Old")
    return last_of(client.failures.remove_steps(which)).changed


def clear_retried(client: resqued.Client) -> int:
    """Remove the failures that were retried."""
    return client.failures.clear_retried()


def retry(client: resqued.Client) -> int:
    """Retry all failures."""
    return last_of(client.failures.retry_steps(FailureFilter())).changed


CASES = (
    Case("dequeue, every job is of the class", JOBS, jobs(1), dequeue, 1.0),
    Case("dequeue, every tenth job is", JOBS, jobs(10), dequeue, 0.1),
    Case("failed remove, every second", FAILURES, failures, remove, 0.5),
    Case(
        "failed clear --retried, every second",
        FAILURES,
        retried_failures,
        clear_retried,
        0.5,
    ),
    Case("failed retry --all", FAILURES, failures, retry, 1.0),
)


@dataclass(frozen=True)
class Result:
    """What one operation took."""

    seconds: float
    processor: float
    server_seconds: float
    calls: int
    median_ms: float
    most_ms: float
    longest_ms: float
    longest: str
    memory: int


def measure(server: Server, case: Case, count: int) -> Result:
    """Fill the database, run the operation in a process, and return what it took."""
    client = server.client
    server.clear()
    case.fill(client, count)
    client.config_set("slowlog-log-slower-than", 500)
    client.config_set("slowlog-max-len", 20_000)
    client.slowlog_reset()
    client.config_resetstat()
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        changed, memory, seconds, processor = pool.apply(_run, (case.act, server.url))
    if changed != round(case.share * count):
        raise BenchError(f"{case.name}: {changed} were changed, in {start:.0f} s")
    stats = client.info("commandstats")
    latencies = client.info("latencystats").get("latency_percentiles_usec_evalsha", {})
    entries = [e for e in client.slowlog_get(20_000) if b"SLOWLOG" not in e["command"]]
    slow = max(entries, key=lambda e: e["duration"], default=None)
    scripts = stats.get("cmdstat_evalsha", {"usec": 0, "calls": 0})
    # Commands inside a script stand in the statistics too, beside the script.
    spent = scripts["usec"] + stats.get("cmdstat_eval", {"usec": 0})["usec"]
    return Result(
        seconds=seconds,
        processor=processor,
        server_seconds=spent / 1e6,
        calls=scripts["calls"],
        median_ms=latencies.get("p50", 0.0) / 1e3,
        most_ms=latencies.get("p99", 0.0) / 1e3,
        longest_ms=slow["duration"] / 1e3 if slow else 0.5,
        longest=slow["command"].split()[0].decode() if slow else "none",
        memory=memory,
    )


def _run(
    act: Callable[[resqued.Client], int], url: str
) -> tuple[int, int, float, float]:
    client = resqued.Client(url)
    client.ping()
    start, began = time.perf_counter(), time.process_time()
    changed = act(client)
    seconds, processor = time.perf_counter() - start, time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return changed, memory, seconds, processor


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis", metavar="URL")
    parser.add_argument("--scale", type=float, default=1.0)
    realtime.add_option(parser)
    given = parser.parse_args()
    print(
        "| operation | elements | seconds | CPU of the caller | scripts, together"
        " | scripts ",
        end="",
    )
    print("| script, median | 99 % | longest command | memory of the caller |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_server(given.redis, Path(scratch)) as server,
    ):
        if given.realtime:
            realtime.give_precedence(server.client)
        for case in CASES:
            for size in case.sizes:
                count = int(size * given.scale)
                found = measure(server, case, count)
                print(
                    f"| {case.name} | {count:,} | {found.seconds:.1f}"
                    f" | {found.processor:.1f} s | {found.server_seconds:.1f} s"
                    f" | {found.calls:,}"
                    f" | {found.median_ms:.1f} ms | {found.most_ms:.1f} ms"
                    f" | {found.longest_ms:.1f} ms ({found.longest})"
                    f" | {found.memory >> 20} MB |",
                    flush=True,
                )


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bulk: {error}")
