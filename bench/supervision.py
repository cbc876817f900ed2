"""The cost of supervision: `python bench/supervision.py`.

The processor time of a master of 200 workers, with all of them idle and with each
running a job under limits; and the memory of one more idle worker, with a small
application and with one of 500 MB.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psutil
from errors import BenchError
from heap import MEGABYTES, QUICK_MEGABYTES
from measure import Effort
from peers import RESQUED, Peer
from peers.peer import QUEUE, Launch
from report import Table
from rig import Rig
from rounds import Say
from server import Server

# The name of this part on the command line.
PART = "supervision"

WORKERS = 200
# For a quick run, which only shows that the measurement works.
QUICK_WORKERS = 20
# Two sizes of a pool; their difference is the memory of one more worker.
FEW, MORE = 2, 10
# Seconds for the start of the pool, on a busy machine.
PATIENCE = 120.0
HOLD = 600.0


@dataclass(frozen=True, slots=True)
class _Pool:
    """A running master, and its server."""

    master: psutil.Process
    server: Server

    def wait_for(self, what: str, is_so: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > give_up_at:
                raise BenchError(f"waited {PATIENCE:.0f} s for {what}")
            time.sleep(0.2)

    def workers(self) -> int:
        return int(self.server.client.scard("resque:workers"))

    def busy(self) -> int:
        ids = self.server.client.smembers("resque:workers")
        return int(self.server.client.exists(*(b"resque:worker:" + i for i in ids)))

    def share_of_a_core(self, seconds: float) -> float:
        """Return the master's processor time for some seconds, in percent of a core."""
        before = sum(self.master.cpu_times()[:2])
        began = time.monotonic()
        time.sleep(seconds)
        spent = sum(self.master.cpu_times()[:2]) - before
        return 100 * spent / (time.monotonic() - began)

    def memory(self) -> int:
        """Return the bytes of all processes together; shared pages count once (PSS)."""
        tree = [self.master, *self.master.children(recursive=True)]
        return sum(process.memory_full_info().pss for process in tree)


LIMITS = '[limits]\nruntime = "10m"\nmemory = "512M"\n'


def master_shares(rig: Rig, effort: Effort, workers: int) -> tuple[float, float]:
    """Return the master's percent of a core: with all workers idle, and all busy."""
    rig.server.clear()
    file = rig.scratch / "limits.toml"
    file.write_text(LIMITS)

    def command(launch: Launch) -> list[str]:
        return [*RESQUED.command(launch), "-c", str(file)]

    peer = replace(RESQUED, command=command, app="hold_jobs")
    with rig.worker(peer, workers=workers) as worker:
        pool = _Pool(psutil.Process(worker.pid), rig.server)
        pool.wait_for("the workers", lambda: pool.workers() == workers)
        time.sleep(effort.settle)
        idle = pool.share_of_a_core(effort.watch)
        payload = json.dumps({"class": "Hold", "args": [HOLD]})
        rig.server.client.rpush(f"resque:queue:{QUEUE}", *[payload] * workers)
        rig.server.client.sadd("resque:queues", QUEUE)
        pool.wait_for("the jobs", lambda: pool.busy() == workers)
        time.sleep(effort.settle)
        return idle, pool.share_of_a_core(effort.watch)


def memory_per_worker(rig: Rig, peer: Peer, effort: Effort) -> float:
    """Return the bytes that one more idle worker takes, with its next child."""
    sizes = []
    for workers in (FEW, MORE):
        rig.server.clear()
        with rig.worker(peer, workers=workers) as worker:
            pool = _Pool(psutil.Process(worker.pid), rig.server)
            is_up = functools.partial(_is_up, pool, workers)
            pool.wait_for("the workers", is_up)
            time.sleep(effort.settle)
            sizes.append(pool.memory())
    return (sizes[1] - sizes[0]) / (MORE - FEW)


def _is_up(pool: _Pool, workers: int) -> bool:
    return pool.workers() == workers


def tables(
    rig: Rig, _chosen: Sequence[Peer], effort: Effort, failures: list[str], say: Say
) -> list[Table]:
    """Measure, and return both tables; add a failure to `failures`."""
    is_quick = effort.rounds == 1
    workers = QUICK_WORKERS if is_quick else WORKERS
    megabytes = QUICK_MEGABYTES if is_quick else MEGABYTES
    made: list[Table] = []
    try:
        say(f"{PART}: a master of {workers} workers")
        idle, busy = master_shares(rig, effort, workers)
        made.append(_shares(workers, idle, busy))
        large = replace(rig, settings={"BENCH_HEAP_MB": str(megabytes)})
        say(f"{PART}: one more worker")
        small = memory_per_worker(rig, RESQUED, effort)
        heap = memory_per_worker(large, replace(RESQUED, app="heap_jobs"), effort)
        made.append(_memory(megabytes, small, heap))
    except BenchError as error:
        failures.append(f"{PART}: {error}")
    return made


def _shares(workers: int, idle: float, busy: float) -> Table:
    return Table(
        title=f"The master of {workers} workers",
        text=(
            "Percent of one core that the master takes: with all workers idle, and "
            "with each running a job that sleeps, under a limit of run time and one "
            "of memory."
        ),
        columns=["workers", "% of a core"],
        rows=[["idle", f"{idle:.2f}"], ["busy, with limits", f"{busy:.2f}"]],
    )


def _memory(megabytes: int, small: float, large: float) -> Table:
    return Table(
        title="One more idle worker",
        text=(
            "Megabytes that a worker takes with the child that stands by: the "
            f"difference between pools of {MORE} and of {FEW}, shared pages counted "
            "once."
        ),
        columns=["application", "MB"],
        rows=[
            ["small", f"{small / 1e6:.2f}"],
            [f"{megabytes} MB of objects", f"{large / 1e6:.2f}"],
        ],
    )


if __name__ == "__main__":
    from run import main

    sys.exit(main(["--parts", PART, *sys.argv[1:]]))
