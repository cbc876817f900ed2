"""What a service that hangs costs the jobs.

`python -m bench.hanging [ROUNDS [JOBS [BACKEND…]]]`, 7 rounds, 1,000 jobs and the back
ends webhook, sentry and airbrake by default. Three pools in turn perform the same jobs,
half of which fail: with Redis alone, with a service that answers, and with one that
accepts each request and answers none. Every other round goes the other way. Prints
jobs per second, and the processor time of a job, which holds on a machine with other
load too; and the medians of the ratios of each round. Exits with 1 if the jobs per
second by both measures are less than 0.9 of those with a service that answers, or if
Redis lacks a failure.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import redis as redis_py

from resqued.system.redis_server import EmbeddedServer
from tests.support.daemon import Daemon
from tests.support.receivers import receiver
from tests.support.wait import wait_until

# The part of the jobs per second that must be left.
LEAST = 0.9
WORKERS = "2"
BACKENDS = ("webhook", "sentry", "airbrake")
GOOD = '{"class":"Ok","args":[%d]}'
BAD = '{"class":"Boom","args":[%d]}'
PATIENCE = 600.0
# Of the pool without a service: nothing is sent to it.
UNUSED = 9
# Not counted: the first children, and imports.
WARM = 50
CONFIG = """
[failure]
backends = %s
webhook_url = "http://127.0.0.1:%d/"
delivery_timeout = "60s"
"""


class Figures(NamedTuple):
    """Jobs per second, and the seconds of processor time of a job."""

    rate: float
    effort: float


def environment(port: int) -> dict[str, str]:
    """Return the settings of the services that all listen at a port."""
    return {
        "SENTRY_DSN": f"http://key@127.0.0.1:{port}/1",
        "AIRBRAKE_PROJECT_ID": "1",
        "AIRBRAKE_PROJECT_KEY": "key",
        "AIRBRAKE_HOST": f"http://127.0.0.1:{port}",
    }


def effort(pid: int) -> float:
    """Return the processor time of a master, its workers and their ended children.

    Not that of its deliverers, which take turns with nobody.
    """
    master = psutil.Process(pid)
    tree = [master, *master.children(recursive=True)]
    total = 0.0
    for process in tree:
        with suppress(psutil.Error):
            if "resqued.failure.deliverer" not in process.cmdline():
                total += sum(process.cpu_times()[:4])
    return total


def figures(redis: redis_py.Redis, url: str, folder: Path, jobs: int) -> Figures:
    """Return the figures of a pool with the services whose settings are in a folder."""
    redis.flushall()
    env = environment(int((folder / "port").read_text()))
    args = ("default", "-a", "tests.compat.jobs", "-n", WORKERS, "-c", "resqued.toml")
    with Daemon(*args, "-r", url, cwd=folder, env=env, may_hang=True) as daemon:
        daemon.wait_for_event("master_ready")
        run(redis, WARM)
        before, began = effort(daemon.pid), time.monotonic()
        run(redis, jobs)
        seconds = time.monotonic() - began
        return Figures(jobs / seconds, (effort(daemon.pid) - before) / jobs)


def run(redis: redis_py.Redis, jobs: int) -> None:
    """Have jobs performed, half of which fail; wait for all."""
    done = int(redis.get("resque:stat:processed") or 0)
    payloads = [(BAD if n % 2 else GOOD) % n for n in range(jobs)]
    redis.sadd("resque:queues", "default")
    redis.rpush("resque:queue:default", *payloads)
    wait_until(
        lambda: int(redis.get("resque:stat:processed") or 0) == done + jobs,
        deadline=PATIENCE,
        what="all jobs to be recorded",
    )


def main(rounds: int = 7, jobs: int = 1_000, backends: Sequence[str] = BACKENDS) -> int:
    """Measure in rounds; return the exit status."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer.start(place / "server"))
        redis = stack.enter_context(redis_py.Redis.from_url(server.url))
        services = {
            "answers": stack.enter_context(receiver()),
            "hangs": stack.enter_context(receiver(lambda _: 0)),
        }
        for kind, names in (
            ("alone", ["redis"]),
            *dict.fromkeys(services, backends).items(),
        ):
            port = services[kind].port if kind in services else UNUSED
            (place / kind).mkdir()
            (place / kind / "resqued.toml").write_text(
                CONFIG % (json.dumps(names), port)
            )
            (place / kind / "port").write_text(str(port))
        found: dict[str, list[Figures]] = {"alone": [], "answers": [], "hangs": []}
        is_complete = True
        for number in range(rounds):
            for kind in list(found)[:: -1 if number % 2 else 1]:
                found[kind].append(figures(redis, server.url, place / kind, jobs))
                is_complete &= redis.llen("resque:failed") == (WARM + jobs) // 2
            shown = ", ".join(
                f"{kind} {show(each[-1])}" for kind, each in found.items()
            )
            print(f"round {number + 1}: {shown}", flush=True)
        hung = len(services["hangs"].requests)
    for other in ("alone", "answers"):
        rate, work = ratios(found["hangs"], found[other])
        print(f"hangs/{other}: jobs per second {rate:.3f}, processor time {work:.3f}")
    print(f"requests that hung: {hung}; every failure in Redis: {is_complete}")
    is_slower = max(rate, 1 / work) < LEAST
    return 1 if is_slower or not hung or not is_complete else 0


def ratios(ours: Sequence[Figures], others: Sequence[Figures]) -> tuple[float, float]:
    """Return the medians of both ratios, each round with itself."""
    pairs = list(zip(ours, others, strict=True))
    rate = statistics.median(a.rate / b.rate for a, b in pairs)
    return rate, statistics.median(a.effort / b.effort for a, b in pairs)


def show(found: Figures) -> str:
    """Return figures as text."""
    return f"{found.rate:.0f} jobs/s, {found.effort * 1000:.2f} ms a job"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3]), *filter(None, [sys.argv[3:]])))
