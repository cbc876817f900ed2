"""The four measurements, each made once for one library. Who takes part, how often
and in which order is for rounds.py; what the figures mean, for tables.py.
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
    # Pushes to an idle worker, in each round, and those thrown away before.
    wake_ups: int
    warm_up: int
    # Idle workers: seconds until they have settled, and seconds watched.
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
    # Covers several periods of a poll that comes every 5 s.
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


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job takes, of all processes that the worker is made of.

    `processor` is their time on a processor, in seconds as `wall` is; `faults` how
    often one of them touched a page that it did not have, or shared with another.
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

    # All that the server ran, and of these the ones that clients sent: the rest
    # was called inside scripts.
    total: float
    sent: float
    # The most frequent of those sent, with their rate.
    most: tuple[tuple[str, float], ...]


def cost_per_job(rig: Rig, peer: Peer, effort: Effort) -> Cost:
    """The slopes of what no-op jobs take over their number."""
    rig.server.clear()
    counts = [effort.fewer * peer.scale, effort.more * peer.scale]
    points = []
    with rig.producer(peer) as producer:
        for count in counts:
            producer.ask("fill", count=count)
            before = _used()
            with rig.worker(peer, burst=True) as worker:
                wall = worker.wait_until_done(count)
                producer.wait_until_settled()
            used = [after - b for after, b in zip(_used(), before, strict=True)]
            points.append((wall, *used))
    return Cost(
        *(slope((counts[0], a), (counts[1], b)) for a, b in zip(*points, strict=True))
    )


def _used() -> tuple[float, int]:
    """Processor time and page faults of all who have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_minflt


def enqueue_rates(rig: Rig, peer: Peer, effort: Effort) -> Rates:
    """How fast one producer pushes no-op jobs."""
    rig.server.clear()
    with rig.producer(peer) as producer:
        single = producer.ask("one_by_one", count=effort.pushes)
        bulk = producer.ask("bulk", count=effort.bulk)
    return Rates(effort.pushes / single, effort.bulk / bulk)


def wake_ups(rig: Rig, peer: Peer, effort: Effort, *, raw: bool) -> list[float]:
    """Seconds from push to start, for some pushes to one idle worker."""
    rig.server.clear()
    with rig.producer(peer) as producer, rig.worker(peer):
        return producer.ask(
            "latency", count=effort.wake_ups, raw=raw, warm_up=effort.warm_up
        )


def idleness(rig: Rig, peer: Peer, effort: Effort) -> Idleness:
    """What workers without any job ask of the server."""
    rig.server.clear()
    with rig.worker(peer, workers=IDLE_WORKERS) as worker:
        with rig.producer(peer) as producer:
            producer.ask("push", job="mark", args=["ready"])
            worker.wait_for_mark(SLOWEST_START)
            producer.wait_until_settled()
        time.sleep(effort.settle)
        return _watch(rig.server.client, effort.watch)


def _watch(client: redis.Redis, seconds: float) -> Idleness:
    """Count the commands of some seconds.

    INFO counts all that ran, MONITOR shows who sent it. Both of our connections
    are there before the first look, so that the first INFO is all that we add.
    """
    with client.monitor() as monitor:
        ours = client.client_info()["addr"]
        before, begin = _commands_processed(client), time.monotonic()
        sent: Counter[str] = Counter()
        while (left := begin + seconds - time.monotonic()) > 0:
            if not monitor.connection.can_read(timeout=left):
                break
            seen = monitor.next_command()
            address = f"{seen['client_address']}:{seen['client_port']}"
            if seen["client_type"] != "lua" and address != ours:
                sent[seen["command"].split(" ", 1)[0].upper()] += 1
        total, passed = _commands_processed(client) - before - 1, _since(begin)
    most = tuple((name, count / passed) for name, count in sent.most_common(3))
    return Idleness(total / passed, sent.total() / passed, most)


def _commands_processed(client: redis.Redis) -> int:
    return client.info("stats")["total_commands_processed"]


def _since(begin: float) -> float:
    return time.monotonic() - begin
