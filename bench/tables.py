"""Turns figures into tables: units, ratios to the bare loop, and explanations."""

from collections.abc import Sequence

from measure import IDLE_WORKERS, Effort
from peers import BARE, Peer
from report import Table
from rounds import RAW, Results
from stats import percentile, spread

# The cell of a library without such a figure.
NONE = "-"


def tables(results: Results, peers: Sequence[Peer], effort: Effort) -> list[Table]:
    """Return a table for each measurement that was made."""
    made = [
        _per_job(results, peers, effort),
        _enqueue(results, peers, effort),
        _wake_ups(results, peers, effort),
        _idle(results, peers, effort),
    ]
    return [table for table in made if table.rows]


def _per_job(results: Results, peers: Sequence[Peer], effort: Effort) -> Table:
    walls = {
        key: spread([cost.wall for cost in costs])
        for key, costs in results.costs.items()
    }
    rows = []
    for peer in peers:
        if peer.key in walls:
            wall, costs = walls[peer.key], results.costs[peer.key]
            base = walls.get(peer.base)
            rows.append(
                [
                    peer.title,
                    peer.isolation,
                    _ms(wall.median),
                    _ratio(wall.median, base.median if base else None),
                    f"{_ms(wall.low)} to {_ms(wall.high)}",
                    _ms(spread([cost.processor for cost in costs]).median),
                    f"{spread([cost.faults for cost in costs]).median:.0f}",
                ]
            )
    scale = max((peer.scale for peer in peers), default=1)
    more = (
        f" (up to {scale} times as many for several workers and a low cost per job)"
        if scale > 1
        else ""
    )
    return Table(
        title="A job that does nothing",
        text=(
            "Milliseconds per job of one worker, or of as many workers together as the "
            "row says. The figure is the slope between the "
            f"times for {effort.fewer} and {effort.more} jobs{more}. Each time is "
            "measured from a job before these jobs to a job after them, which record "
            "when they run, so start-up and other one-time costs do not count. RQ, "
            "resqued and the bare loop run in burst mode. *Processor* is the processor "
            "time of all processes of a worker. *Pages* is the number of times that "
            "one of them touched a page that it did not have, or had shared since a "
            "fork. Other load on the machine affects these two figures less. The "
            "application of 60 MB consists of modules, as one with a large framework "
            "such as Django does; its rows are compared with the bare loop with the "
            "same application."
        ),
        columns=[
            "worker",
            "isolation",
            "ms per job",
            "to bare loop",
            "rounds",
            "processor, ms",
            "pages",
        ],
        rows=rows,
        words=["isolation"],
    )


def _enqueue(results: Results, peers: Sequence[Peer], effort: Effort) -> Table:
    single = {
        key: spread([rates.single for rates in rounds]).median
        for key, rounds in results.rates.items()
    }
    bulk = {
        key: spread([rates.bulk for rates in rounds]).median
        for key, rounds in results.rates.items()
    }
    rows = [
        [
            peer.title,
            f"{single[peer.key]:,.0f}",
            _ratio(single[peer.key], single.get(BARE.key)),
            f"{bulk[peer.key]:,.0f}",
            _ratio(bulk[peer.key], bulk.get(BARE.key)),
            peer.bulk,
        ]
        for peer in peers
        if peer.key in single
    ]
    return Table(
        title="Pushing jobs",
        text=(
            "Jobs per second of one producer, while no worker runs: "
            f"{effort.pushes:,} jobs with one call each, and {effort.bulk:,} jobs "
            "with the bulk call of the library. More is better. The producer of the "
            "bare loop sends the same JSON as resqued, directly with redis-py and "
            "without the `SADD` of the queue's name. The bulk calls of Celery, "
            "Dramatiq and Huey send the jobs one by one."
        ),
        columns=["library", "one by one", "to bare", "bulk", "bulk to bare", "by"],
        rows=rows,
        words=["by"],
    )


def _wake_ups(results: Results, peers: Sequence[Peer], effort: Effort) -> Table:
    titles = {peer.key: peer.title for peer in peers}
    bare = [waits for (key, _), waits in results.waits.items() if key == BARE.key]
    base = spread(bare[0]).median if bare else None
    rows = []
    for (key, way), waits in results.waits.items():
        title = titles[key]
        if way == RAW:
            title += ", pushed by `RPUSH` and `SADD`"
        median = spread(waits).median
        rows.append(
            [title, _ms(median), _ms(percentile(waits, 0.99)), _ratio(median, base)]
        )
    return Table(
        title="From push to start",
        text=(
            "Milliseconds from the moment before the push to the first line of the "
            "job, with one idle worker, or as many as the row says. There are "
            f"{effort.rounds * effort.wake_ups} pushes, each 20 to 80 ms "
            "(at random) after the start of the previous job. A library that "
            "polls at growing intervals would be slower after a longer pause. The "
            "bare loop blocks in `BLPOP`."
        ),
        columns=["worker", "median", "99th percentile", "median to bare loop"],
        rows=rows,
    )


def _idle(results: Results, peers: Sequence[Peer], effort: Effort) -> Table:
    rows = []
    for peer in peers:
        idle = results.idle.get(peer.key)
        if idle is None:
            continue
        most = ", ".join(f"{name} {rate:.1f}" for name, rate in idle.most)
        inside = max(0.0, idle.total - idle.sent)
        figures = [f"{rate:.2f}" for rate in (idle.total, idle.sent, inside)]
        rows.append([peer.title, *figures, most or NONE])
    return Table(
        title=f"{IDLE_WORKERS} idle workers",
        text=(
            "Redis commands per second while no job waits, measured for "
            f"{effort.watch:.0f} s, starting {effort.settle:.0f} s after the last job. "
            "*All* is the number that the server counted, *sent* the number that "
            "clients sent, and *in scripts* the number that their Lua scripts called. "
            "The workers of Dramatiq are threads of one process, and those of Celery "
            "get their jobs from one process. The pool of RQ includes its scheduler."
        ),
        columns=["library", "all", "sent", "in scripts", "most frequent of those sent"],
        rows=rows,
        words=["most frequent of those sent"],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def _ratio(figure: float, base: float | None) -> str:
    return NONE if not base else f"{figure / base:.2f}"
