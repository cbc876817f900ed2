"""The cost of a job when the application holds 500 MB of Python objects, against the
same job in a small one: `python bench/heap.py`, or `bench/run.py --heap`.

A forked child shares the heap, but the kernel copies the page tables for each fork,
and a process that touches an object copies its page. The bare loop is measured too: it
shows the cost for a worker that does nothing about it.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import measure
from measure import Effort
from peers import BARE, RESQUED, Peer
from report import Table
from rig import Rig
from rounds import Say, Turn, interleave
from stats import spread

# The name of this part on the command line.
PART = "heap"

MEGABYTES = 500
QUICK_MEGABYTES = 100


@dataclass(frozen=True, slots=True)
class Pair:
    """A worker with a small application, and the same worker with a large one."""

    small: Peer
    large: Peer


def pairs(chosen: Sequence[Peer]) -> list[Pair]:
    """Return the pairs to measure among the chosen workers."""
    large = {BARE.key: "heap_data", RESQUED.key: "heap_jobs"}
    return [
        Pair(peer, replace(peer, key=f"{peer.key}-heap", app=large[peer.key]))
        for peer in chosen
        if peer.key in large
    ]


def table(
    rig: Rig, chosen: Sequence[Peer], effort: Effort, failures: list[str], say: Say
) -> Table:
    """Measure with a small and a large heap in turn; return the table of the ratios.

    Measurements that fail are added to `failures`.
    """
    megabytes = MEGABYTES if effort.rounds > 1 else QUICK_MEGABYTES
    rig = replace(rig, settings={"BENCH_HEAP_MB": str(megabytes)})
    measured = pairs(chosen)
    turns = [
        Turn(peer.key, title, functools.partial(measure.cost_per_job, *to_measure))
        for pair in measured
        for peer, title in (
            (pair.small, f"{pair.small.title}, small"),
            (pair.large, f"{pair.large.title}, {megabytes} MB"),
        )
        for to_measure in [(rig, peer, effort)]
    ]
    costs = interleave("heap", turns, effort.rounds, failures, say)
    rows = []
    for pair in measured:
        if pair.small.key in costs and pair.large.key in costs:
            small, large = (
                spread([cost.wall for cost in costs[peer.key]]).median * 1e3
                for peer in (pair.small, pair.large)
            )
            ratio = f"{large / small:.2f}"
            rows.append([pair.small.title, f"{small:.2f}", f"{large:.2f}", ratio])
    return Table(
        title=f"A job in an application of {megabytes} MB",
        text=(
            "Milliseconds per no-op job, measured as above, with an application "
            f"that builds Python objects at import until its resident memory is "
            f"{megabytes} MB, against the small application. The bare loop freezes "
            "its heap and does no more about it."
        ),
        columns=["worker", "small, ms", f"{megabytes} MB, ms", "ratio"],
        rows=rows,
    )


if __name__ == "__main__":
    from run import main

    sys.exit(main(["--parts", PART, *sys.argv[1:]]))
