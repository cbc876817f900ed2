"""The cost of the history of runs: `python bench/history.py`.

Pairs of measurements with `[history] resolution` at its default and off, one directly
after the other, so that both have the same load of the machine; the figure is the
median of the ratios. And the commands of an idle pool that nobody looks at.
"""

import functools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import redis
from measure import IDLE_WORKERS, Cost, Effort, cost_per_job
from peers import RESQUED, RESQUED_WITHOUT_HISTORY, Peer
from report import Table
from rig import SLOWEST_START, Rig
from rounds import Say, Turn, interleave
from stats import spread

# The name of this part on the command line.
PART = "history"

# Pairs for each round of the other measurements: a difference of 1 % is to be seen.
PAIRS = 3
# Minutes in which the commands of an idle pool are counted, after the first reading of
# its master: an idle master makes the next one 15 minutes later.
MINUTES = 3
# How long the first reading is waited for, in seconds: it is made within a minute.
FIRST_READING = 65.0
# The same for a quick run, which only shows that the measurement works.
QUICK_SECONDS = 5.0
# Commands in the table.
MOST = 3

ON, OFF = RESQUED, RESQUED_WITHOUT_HISTORY


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure with the history on and off: the medians, and that of the ratios."""

    on: float
    off: float
    ratio: float
    low: float
    high: float


def ratio(on: Sequence[float], off: Sequence[float]) -> Ratio:
    """Return the ratio of pairs of figures, in the order of their measurement."""
    ratios = spread([a / b for a, b in zip(on, off, strict=True)])
    return Ratio(median(on), median(off), ratios.median, ratios.low, ratios.high)


def pairs(
    rig: Rig, effort: Effort, failures: list[str], say: Say
) -> tuple[list[Cost], list[Cost]]:
    """Return the costs per job with the history on and off, pair by pair."""

    def turn(peer: Peer) -> Turn[str, Cost]:
        return Turn(peer.key, peer.title, lambda: cost_per_job(rig, peer, effort))

    rounds = PAIRS * effort.rounds
    found = interleave(PART, [turn(ON), turn(OFF)], rounds, failures, say)
    return found.get(ON.key, []), found.get(OFF.key, [])


def idle_calls(rig: Rig, peer: Peer, effort: Effort, seconds: float) -> Counter[str]:
    """Return the commands of an idle pool in some seconds, by name.

    Those that its scripts call count too.
    """
    rig.server.clear()
    with rig.worker(peer, workers=IDLE_WORKERS) as worker:
        with rig.producer(peer) as producer:
            producer.ask("push", job="mark", args=["ready"])
            worker.wait_for_mark(SLOWEST_START)
            producer.wait_until_settled()
        time.sleep(effort.settle)
        if peer is ON and seconds > QUICK_SECONDS:
            _wait_for_reading(rig.server.client)
        before = _calls(rig.server.client)
        time.sleep(seconds)
        # The INFO of this function is counted once.
        return _calls(rig.server.client) - before - Counter({"info": 1})


def _wait_for_reading(client: redis.Redis) -> None:
    until = time.monotonic() + FIRST_READING
    while not client.exists("resque:resqued:hist:turn") and time.monotonic() < until:
        time.sleep(1.0)
    # The master has the turn before it reads.
    time.sleep(1.0)


def _calls(client: redis.Redis) -> Counter[str]:
    stats = client.info("commandstats")
    return Counter(
        {
            name.removeprefix("cmdstat_").replace("|", " "): each["calls"]
            for name, each in stats.items()
        }
    )


def tables(
    rig: Rig, chosen: Sequence[Peer], effort: Effort, failures: list[str], say: Say
) -> list[Table]:
    """Measure, and return both tables; failures are added to `failures`."""
    if ON not in chosen:
        return []
    seconds = QUICK_SECONDS if effort.rounds == 1 else 60.0 * MINUTES

    def idle_turn(peer: Peer) -> Turn[str, Counter[str]]:
        one = functools.partial(idle_calls, rig, peer, effort, seconds)
        return Turn(peer.key, peer.title, one)

    on, off = pairs(rig, effort, failures, say)
    made = []
    if on and len(on) == len(off):
        made.append(_costs(on, off))
    turns = [idle_turn(ON), idle_turn(OFF)]
    idle = interleave(f"{PART}, idle", turns, 1, failures, say)
    if len(idle) == len(turns):
        made.append(_idle(idle[ON.key][0], idle[OFF.key][0], seconds))
    return made


def _costs(on: Sequence[Cost], off: Sequence[Cost]) -> Table:
    figures = {
        "ms per job": ([1e3 * c.wall for c in on], [1e3 * c.wall for c in off]),
        "processor, ms": (
            [1e3 * c.processor for c in on],
            [1e3 * c.processor for c in off],
        ),
        "pages": ([c.faults for c in on], [c.faults for c in off]),
    }
    rows = []
    for name, both in figures.items():
        found = ratio(*both)
        digits = 0 if name == "pages" else 3
        rows.append(
            [
                name,
                f"{found.on:.{digits}f}",
                f"{found.off:.{digits}f}",
                f"{found.ratio:.3f}",
                f"{found.low:.3f} to {found.high:.3f}",
            ]
        )
    return Table(
        title="What the history costs a job",
        text=(
            "A job that does nothing, measured as above, with `[history] resolution` "
            "at its default and `off`, in turn. *Ratio* is the median of the ratios of "
            f"{len(on)} pairs, and *pairs* are the smallest and the largest."
        ),
        columns=["figure", "on", "off", "ratio", "pairs"],
        rows=rows,
    )


def _idle(on: Counter[str], off: Counter[str], seconds: float) -> Table:
    minutes = seconds / 60
    rows = []
    for name, calls in (("on", on), ("off", off)):
        most = ", ".join(f"{n} {c / minutes:.0f}" for n, c in calls.most_common(MOST))
        rows.append([name, f"{calls.total() / minutes:.0f}", most or "-"])
    return Table(
        title="What the history costs an idle pool",
        text=(
            f"Commands per minute of {IDLE_WORKERS} idle workers and their master "
            "while nobody looks at the web front end, by `INFO commandstats`: those "
            "that scripts call count too. With the history on, one master of all "
            "writes how many jobs wait: once a minute at work, once in 15 minutes "
            "while nothing happens. The first of these readings is not counted."
        ),
        columns=["history", "commands", "most frequent"],
        rows=rows,
        words=["most frequent"],
    )


if __name__ == "__main__":
    from run import main

    sys.exit(main(["--parts", PART, *sys.argv[1:]]))
