"""What it costs to end many jobs at once: `python bench/ending.py 50 100 200 450`.

For each number of workers: the seconds from the order until all jobs have ended, and
the processor time of the master and of all other processes of the pool. The orders are
TERM, after which the pool has left, USR1, after which it continues, and `resqued kill
--older-than`, whose seconds are those of the command as well. The processor time for
each job stays the same if the cost grows with the number of jobs alone.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from environment import child_environment
from errors import BenchError
from peers import RESQUED
from peers.peer import QUEUE
from rig import Rig
from server import open_server

SIZES = (50, 100, 200)
# Seconds for the start of a pool, and for the end of its jobs.
PATIENCE = 300.0
HOLD = 3600.0
# Seconds that a job has run for at least, when it is to end.
AGE = 1
TERM, USR1, KILL = ORDERS = ("TERM", "USR1", "kill")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds until the end, seconds of processor time, and what became of the jobs."""

    seconds: float
    master: float
    others: float
    failures: int


def end_jobs(rig: Rig, workers: int, order: str) -> Cost:
    """Run as many jobs as there are workers, and order the master to end them."""
    client = rig.server.client
    rig.server.clear()
    with rig.worker(replace(RESQUED, app="hold_jobs"), workers=workers) as worker:
        master = psutil.Process(worker.pid)
        _wait("the workers", lambda: client.scard("resque:workers") == workers)
        payload = json.dumps({"class": "Hold", "args": [HOLD]})
        client.rpush(f"resque:queue:{QUEUE}", *[payload] * workers)
        client.sadd("resque:queues", QUEUE)
        _wait("the jobs", lambda: _busy(rig) == workers)
        time.sleep(AGE + 1.0)
        before = _times(master)
        began = time.monotonic()
        _give(rig, order, master.pid)
        _wait("the end", lambda: _is_over(rig, master, workers, order))
        took = time.monotonic() - began
        # A zombie has its times still, and those of the children that it has reaped.
        after = _times(master)
        own, total = after[0] - before[0], after[1] - before[1]
        return Cost(took, own, total - own, client.llen("resque:failed"))


def _give(rig: Rig, order: str, master: int) -> None:
    """Order a master to end the jobs."""
    if order != KILL:
        os.kill(master, signal.Signals[f"SIG{order}"])
        return
    options = ["--older-than", f"{AGE}s", "--yes", "--pid", str(master)]
    command = [sys.executable, "-m", "resqued", "kill", *options]
    environment = child_environment(rig.server.url, rig.scratch)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"resqued kill: {done.stderr.strip()}")


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > give_up_at:
            raise BenchError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.1)


def _is_over(rig: Rig, master: psutil.Process, workers: int, order: str) -> bool:
    if order == TERM:
        return bool(master.status() == psutil.STATUS_ZOMBIE)
    return int(rig.server.client.llen("resque:failed")) == workers


def _busy(rig: Rig) -> int:
    ids = rig.server.client.smembers("resque:workers")
    return int(rig.server.client.exists(*(b"resque:worker:" + i for i in ids)))


def _times(master: psutil.Process) -> tuple[float, float]:
    """Return the seconds of the master; and of it and all that it has started."""
    own = sum(master.cpu_times()[:2])
    total = 0.0
    for process in (master, *master.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return own, total


def main() -> int:
    """Measure each size and order, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="WORKERS")
    sizes = parser.parse_args().sizes
    print("order  workers  seconds  master s  others s  ms for each job  failed")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        with open_server(None, place) as server:
            rig = Rig(server, None, place)
            for order in ORDERS:
                for workers in sizes:
                    cost = end_jobs(rig, workers, order)
                    each = 1000 * (cost.master + cost.others) / workers
                    print(
                        f"{order:5} {workers:8} {cost.seconds:8.2f}"
                        f" {cost.master:9.2f} {cost.others:9.2f} {each:16.1f}"
                        f" {cost.failures:7}",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
