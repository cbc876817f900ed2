"""The cost of a reload under load: `python bench/reload.py`.

Eight workers run jobs of 50 ms one after the other, and one of them a job of a minute,
while the master reloads. The figure of a reload is the number of jobs that end in its
worst second, as a share of the rate before.
"""

import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from errors import BenchError
from measure import Effort
from peers import RESQUED, Peer
from peers.peer import QUEUE
from report import Table
from rig import Rig
from rounds import Say
from server import Server

# The name of this part on the command line.
PART = "reload"

WORKERS = 8
SHORT, LONG = 0.05, 60.0
# Seconds to measure before a reload, and after its signal until it is over.
BEFORE, AFTER = 10.0, 10.0
SECOND, LOOK = 1.0, 0.02
RELOADS = 5

_Samples = list[tuple[float, int]]


def _push(server: Server, count: int, seconds: float) -> None:
    payload = json.dumps({"class": "Hold", "args": [seconds]})
    server.client.rpush(f"resque:queue:{QUEUE}", *[payload] * count)
    server.client.sadd("resque:queues", QUEUE)


def _sample(server: Server, seconds: float) -> _Samples:
    """Return pairs of a time and the number of ended jobs, over some seconds."""
    samples: _Samples = []
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        samples.append((now, int(server.client.get("resque:stat:processed") or 0)))
        time.sleep(LOOK)
    return samples


def rates(samples: _Samples) -> list[float]:
    """Return the jobs per second in the second after each sample."""
    result = []
    end = 0
    for start, (began, count) in enumerate(samples):
        while end < len(samples) and samples[end][0] < began + SECOND:
            end += 1
        if end == len(samples):
            break
        assert end > start, "a second is longer than LOOK"
        result.append((samples[end][1] - count) / (samples[end][0] - began))
    return result


def shares(rig: Rig, reloads: int) -> list[float]:
    """Return the rate in the worst second of each reload, as a share of that before.

    Raises BenchError if the workers do not start or a job fails.
    """
    rig.server.clear()
    result = []
    peer = replace(RESQUED, app="hold_jobs")
    with rig.worker(peer, workers=WORKERS) as worker:
        deadline = time.monotonic() + 60
        while rig.server.client.scard("resque:workers") < WORKERS:
            if time.monotonic() > deadline:
                raise BenchError(f"{WORKERS} workers did not start within a minute")
            time.sleep(LOOK)
        length = reloads * (BEFORE + AFTER) + 10
        _push(rig.server, 1, min(LONG, length))
        _push(rig.server, int(WORKERS * length / SHORT), SHORT)
        time.sleep(2)
        for _ in range(reloads):
            level = statistics.mean(rates(_sample(rig.server, BEFORE)))
            os.kill(worker.pid, signal.SIGHUP)
            result.append(min(rates(_sample(rig.server, AFTER))) / level)
        rig.server.client.delete(f"resque:queue:{QUEUE}")
    if failed := rig.server.client.llen("resque:failed"):
        raise BenchError(f"{failed} jobs failed while the master reloaded")
    return result


def tables(
    rig: Rig, _chosen: Sequence[Peer], effort: Effort, failures: list[str], say: Say
) -> list[Table]:
    """Measure, and return the table; add a failure to `failures`."""
    reloads = 1 if effort.rounds == 1 else RELOADS
    say(f"{PART}: {reloads} reloads under load")
    try:
        worst = shares(rig, reloads)
    except BenchError as error:
        failures.append(f"{PART}: {error}")
        return []
    return [
        Table(
            title="The worst second of a reload",
            text=(
                f"{WORKERS} workers with jobs of {SHORT * 1000:.0f} ms, and one job "
                "of a minute: jobs that ended in the worst second from the signal on, "
                "in percent of the level before."
            ),
            columns=["reload", "%"],
            rows=[[str(n), f"{100 * s:.0f}"] for n, s in enumerate(worst, start=1)],
        )
    ]


if __name__ == "__main__":
    from run import main

    sys.exit(main(["--parts", PART, *sys.argv[1:]]))
