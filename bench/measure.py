"""The four measurements, each for one library and once. rounds.py decides which
libraries are measured, how often and in which order; tables.py explains the figures.
"""

import resource
import time
from collections import Counter
from dataclasses import dataclass

import redis
from peers import Peer
from rig import SLOWEST_START, Rig
from stats import slope


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    rounds: int
    # The two job counts between which the slope is taken.
    fewer: int
    more: int
    # Jobs pushed, one at a time and in bulk.
    pushes: int
    bulk: int
    # Pushes to an idle worker in each round, and pushes before them that do not count.
    wake_ups: int
    warm_up: int
    # Idle workers: seconds to wait until they have settled, and seconds to watch them.
    settle: float
    watch: float


FULL = Effort(
    rounds=5,
    fewer=200,
    more=1200,
    pushes=2000,
    bulk=10_000,
    wake_ups=40,
    warm_up=3,
    settle=10,
    # Several periods of a poll that comes every 5 s.
    watch=20,
)

QUICK = Effort(
    rounds=1,
    fewer=20,
    more=120,
    pushes=300,
    bulk=1000,
    wake_ups=10,
    warm_up=2,
    settle=1,
    watch=2,
)

# How many idle workers are watched.
IDLE_WORKERS = 8
# Seconds in which the others of several workers start when the first one has.
CREW_START = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one job in all processes of a worker.

    `wall` is the elapsed time and `processor` the time on a processor, in seconds;
    `faults` is the number of minor page faults.
    """

    wall: float
    processor: float
    faults: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs pushed per second."""

    single: float
    bulk: float


@dataclass(frozen=True, slots=True)
class Idleness:
    """Redis commands per second of idle workers."""

    # All commands that the server ran, and those of them that clients sent: the others
    # were called by scripts.
    total: float
    sent: float
    # The most frequent commands that clients sent, with their rates.
    most: tuple[tuple[str, float], ...]


def cost_per_job(rig: Rig, peer: Peer, effort: Effort) -> Cost:
    """Return the cost of a no-op job: the slope between two numbers of jobs.

    With several workers `wall` is the time between the ends of two jobs.
    """
    rig.server.clear()
    counts = [effort.fewer * peer.scale, effort.more * peer.scale]
    points = []
    with rig.producer(peer) as producer:
        for count in counts:
            producer.ask("fill", count=count)
            before = _used()
            with rig.worker(peer, workers=peer.workers, burst=True) as worker:
                wall = worker.wait_until_done(count)
                producer.wait_until_settled()
            used = [after - b for after, b in zip(_used(), before, strict=True)]
            points.append((wall, *used))
    return Cost(
        *(slope((counts[0], a), (counts[1], b)) for a, b in zip(*points, strict=True))
    )


def _used() -> tuple[float, int]:
    """Return processor time and page faults of all children that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_minflt


def enqueue_rates(rig: Rig, peer: Peer, effort: Effort) -> Rates:
    """Return how fast one producer pushes no-op jobs."""
    rig.server.clear()
    with rig.producer(peer) as producer:
        single = producer.ask("one_by_one", count=effort.pushes)
        bulk = producer.ask("bulk", count=effort.bulk)
    return Rates(effort.pushes / single, effort.bulk / bulk)


def wake_ups(rig: Rig, peer: Peer, effort: Effort, *, raw: bool) -> list[float]:
    """Return the seconds from push to start, for each push to idle workers."""
    rig.server.clear()
    with (
        rig.producer(peer) as producer,
        rig.worker(peer, workers=peer.workers) as worker,
    ):
        if peer.workers > 1:
            producer.ask("push", job="mark", args=["ready"])
            worker.wait_for_mark(SLOWEST_START)
            time.sleep(CREW_START)
        return producer.ask(
            "latency", count=effort.wake_ups, raw=raw, warm_up=effort.warm_up
        )


def idleness(rig: Rig, peer: Peer, effort: Effort) -> Idleness:
    """Return the commands per second that idle workers send."""
    rig.server.clear()
    with rig.worker(peer, workers=IDLE_WORKERS) as worker:
        with rig.producer(peer) as producer:
            producer.ask("push", job="mark", args=["ready"])
            worker.wait_for_mark(SLOWEST_START)
            producer.wait_until_settled()
        time.sleep(effort.settle)
        return _watch(rig.server.client, effort.watch)


def _watch(client: redis.Redis, seconds: float) -> Idleness:
    """Count the commands during some seconds.

    INFO has the number of all commands, MONITOR the client of each. Both connections
    are open before the first INFO, so that this INFO is the only command that we add.
    """
    with client.monitor() as monitor:
        ours = client.client_info()["addr"]
        before, begin = _commands_processed(client), time.monotonic()
        sent: Counter[str] = Counter()
        while (remaining := begin + seconds - time.monotonic()) > 0:
            if not monitor.connection.can_read(timeout=remaining):
                break
            command = monitor.next_command()
            address = f"{command['client_address']}:{command['client_port']}"
            if command["client_type"] != "lua" and address != ours:
                sent[command["command"].split(" ", 1)[0].upper()] += 1
        total, passed = _commands_processed(client) - before - 1, _since(begin)
    most = tuple((name, count / passed) for name, count in sent.most_common(3))
    return Idleness(total / passed, sent.total() / passed, most)


def _commands_processed(client: redis.Redis) -> int:
    return client.info("stats")["total_commands_processed"]


def _since(begin: float) -> float:
    return time.monotonic() - begin
