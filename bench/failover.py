"""`python -m bench.failover`: failovers under load by three real sentinels, counted.

Eight workers are busy all the while. Each round the primary is killed, or hands over
(SENTINEL FAILOVER COORDINATED), or is demoted while it takes writes (SENTINEL
FAILOVER). What only the old primary had is lost by replication, and counted apart.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.chaos.account import Books
from bench.chaos.failovers import SentinelSite
from bench.chaos.site import Setting
from tests.support.node import Node
from tests.support.sentinels import REPLICAS
from tests.support.wait import wait_until

ROUNDS = 20
# In seconds: after the promotion, until work continues.
ALLOWED = 2.0
# In seconds: a job that ends so long before a fault is recorded by then, and one that
# was taken from the old primary begins so long after it was demoted.
MARGIN = 0.5


def kill(site: SentinelSite) -> Node:
    """Kill the primary."""
    return site.topology.kill_primary()


def hand_over(site: SentinelSite) -> Node:
    """Have the primary stop taking writes, and a replica take over."""
    return site.topology.fail_over(coordinated=True)


def demote(site: SentinelSite) -> Node:
    """Have a replica promoted while the primary takes writes."""
    return site.topology.fail_over()


WAYS: dict[str, Callable[[SentinelSite], Node]] = {
    "kill": kill,
    "handover": hand_over,
    "demotion": demote,
}


def round_of(site: SentinelSite, way: str) -> float:
    """Have one failover; return the seconds from the promotion until work continues.

    Work continues when the new primary records a run, which is when a worker takes the
    next job from it.
    """
    took = 0.0

    def promoted(old: Node) -> None:
        nonlocal took
        at = site.topology.wait_for_promotion(old)
        new = site.topology.primary
        recorded = processed(new)
        wait_until(lambda: processed(new) > recorded, what="a run to be recorded")
        took = time.monotonic() - at

    began, before = time.monotonic(), site.topology.failovers()
    old = site.fail_over(lambda: WAYS[way](site), promoted)
    if old.is_running():
        wait_until(lambda: not old.is_primary(), what="the old primary's demotion")
    else:
        site.topology.restart(old)
    site.wait(lambda: site.topology.has_replicas(2), "the next round")
    more = site.topology.failovers() - before
    if more > 1:
        print(f"{more - 1} failovers that nobody asked for", file=sys.stderr)
    if way == "demotion" or more > 1:
        site.sever(began - MARGIN, time.monotonic() + MARGIN)
    return took


def processed(node: Node) -> int:
    """Return how many runs a server has recorded."""
    return int(node.client.get("resque:stat:processed") or 0)


def report(books: Books, took: dict[str, list[float]]) -> list[str]:
    """Return the lines to print."""
    lines = ["| failover | rounds | median | slowest |", "|---|--:|--:|--:|"]
    for way, times in took.items():
        middle, most = statistics.median(times), max(times)
        lines.append(f"| {way} | {len(times)} | {middle:.2f} s | {most:.2f} s |")
    return [
        "From the promotion until the next run is recorded:",
        "",
        *lines,
        "",
        f"jobs: {books.at_stake}; not confirmed: {len(books.unsure)}",
        f"lost: {len(books.lost())}; twice: {len(books.doubled())}",
        f"lost by replication: {books.lost_by_replication()}",
        f"run again, as the reservation was lost: {books.repeated_by_replication()}",
        f"failed: {books.entries}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Have the failovers, print what came of them, and return 0 if all was well."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--ways", default=",".join(WAYS), help="the ways, with commas")
    parser.add_argument(
        "--min-replicas",
        type=int,
        default=0,
        metavar="N",
        help="min-replicas-to-write of the servers",
    )
    parser.add_argument(
        "--wait", type=int, default=0, metavar="N", help="min_replicas of the pool"
    )
    options = parser.parse_args(arguments)
    ways = options.ways.split(",")
    if unknown := set(ways) - WAYS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(WAYS)}")
    if options.wait >= REPLICAS and "kill" in ways:
        parser.error(
            f"--wait {options.wait}: no job begins after a kill, which leaves"
            f" {REPLICAS - 1} replica: name other ways"
        )
    took: dict[str, list[float]] = {way: [] for way in ways}
    SentinelSite.min_replicas = options.min_replicas
    config = f"[redis]\nmin_replicas = {options.wait}\n" if options.wait else ""
    with (
        tempfile.TemporaryDirectory(prefix="resqued-failover-") as folder,
        SentinelSite(Path(folder), Setting(config)) as site,
    ):
        for way in itertools.islice(itertools.cycle(ways), options.rounds):
            seconds = round_of(site, way)
            took[way].append(seconds)
            print(f"{way}: {seconds:.2f} s", file=sys.stderr, flush=True)
        books = site.finish()
        problems = [*site.problems, *books.lost(), *books.doubled()]
    slow = [s for times in took.values() for s in times if s > ALLOWED]
    problems += [f"{seconds:.2f} s, allowed are {ALLOWED:g} s" for seconds in slow]
    if books.entries:
        problems.append(f"{books.entries} jobs failed, and none should")
    print("\n".join([*report(books, {w: t for w, t in took.items() if t}), *problems]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
