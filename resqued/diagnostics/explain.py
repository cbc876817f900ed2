"""Why the jobs of a queue do not run: findings from facts, most important first.

The facts were read one after the other while workers were running, so a finding
describes what was read, and may be outdated. This module never asks Redis.
"""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from resqued.core.durations import show_seconds, show_size
from resqued.core.limits import Limits
from resqued.core.plural import join_names, pluralize
from resqued.diagnostics import elsewhere, explain_masters
from resqued.diagnostics.facts import LIVE, NAMED, Candidate, Facts, Observation
from resqued.wire.queue_list import QueueList


def explain(facts: Facts) -> tuple[Observation, ...]:
    """Return all findings: causes first, and both kinds in order of importance."""
    servers = list(explain_masters.server(facts))
    found = [
        # A replica on which nobody is registered: what else it says is no cause.
        *(each for each in servers if each.is_cause),
        *_elsewhere(facts),
        *elsewhere.explain_waiting(facts),
        *_queue(facts),
        *_unserved(facts),
        *_paused(facts),
        *_lifeless(facts),
        *_application(facts),
        *_busy(facts),
        *_starved(facts),
        *_running(facts),
        *_limits(facts),
        *_unread(facts),
        *explain_masters.masters(facts),
        *(each for each in servers if not each.is_cause),
    ]
    if not any(finding.is_cause for finding in found):
        found.insert(0, _should_run(facts))
    return tuple(sorted(found, key=lambda finding: not finding.is_cause))


def _queue(facts: Facts) -> Iterator[Observation]:
    """Yield findings about the queue itself: unknown, empty, or without the job."""
    queue, search = facts.queue, facts.search
    if not facts.size and not facts.is_known:
        near = _near(queue, facts.sizes)
        yield Observation(
            "no_such_queue",
            f"there is no queue {queue} in namespace {facts.namespace}",
            f"did you mean {join_names(near, NAMED)}?"
            if near
            else "`resqued queues` lists them",
        )
    elif not facts.size:
        yield Observation(
            "empty",
            f"queue {queue} is empty: what was there has been taken",
            "`resqued failed` lists what failed, `resqued workers` what runs",
        )
    elif not facts.is_known:
        yield Observation(
            "not_in_set",
            f"queue {queue} is not in the set {facts.namespace}:queues:"
            " queue lists with wildcards do not see it",
            "the next job that is enqueued there puts it in, or"
            f" `redis-cli sadd {facts.namespace}:queues {queue}`",
        )
    if facts.size and search and search.ahead is None:
        yield Observation(
            "not_seen",
            f"no job of {search.class_name} is among the first"
            f" {search.looked_at} of {facts.size} in queue {queue}",
            "look further with --depth"
            if search.looked_at < facts.size
            else "it was taken, or never put there: `resqued failed` lists failures",
        )


def _near(queue: str, known: Mapping[str, int]) -> list[str]:
    """Return known names that are similar to `queue`; case does not matter."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(queue.lower(), by_lower, n=NAMED, cutoff=0.7)
    return [by_lower[name] for name in close]


def _elsewhere(facts: Facts) -> Iterator[Observation]:
    if facts.elsewhere:
        places = [
            f"{key} ({pluralize(n, 'job')})" for key, n in facts.elsewhere.items()
        ]
        yield Observation(
            "wrong_namespace",
            f"a queue {facts.queue} stands under another namespace:"
            f" {join_names(places, NAMED)}",
            "have both sides use the same one: --namespace, RESQUED_NAMESPACE,"
            " [redis] namespace",
            is_cause=not facts.size or not facts.serving,
        )
    elif facts.unseen and (not facts.size or not facts.serving):
        yield Observation(
            "not_checked",
            f"other namespaces were not all looked at: {facts.unseen}",
            is_cause=False,
        )


def _unserved(facts: Facts) -> Iterator[Observation]:
    if facts.serving:
        return
    if not facts.size and any(w.queues.serves(facts.queue) for w in facts.workers):
        return  # a wildcard, which serves the queue when it exists
    lists = list(dict.fromkeys(_list_text(w.queues) for w in facts.workers))
    there = f"; their lists: {join_names(lists, NAMED)}" if lists else ""
    count = pluralize(len(facts.workers), "worker")
    have_pool = any(facts.is_served_by(pool) for pool in facts.pools)
    yield Observation(
        "no_worker",
        f"no registered worker serves queue {facts.queue} ({count}{there})",
        "the configuration has a pool for it: start or reload its master"
        if have_pool
        else f"start one: `resqued work {facts.queue}`, or add it to a [[pool]]",
    )


def _paused(facts: Facts) -> Iterator[Observation]:
    key = f"{facts.namespace}:pause-all-workers"
    if facts.is_paused:
        yield Observation(
            "paused",
            f"all workers of all hosts are paused: the key {key} says true",
            f"`redis-cli del {key}`",
        )
    if facts.is_queue_paused:
        yield Observation(
            "queue_paused",
            f"queue {facts.queue} is paused on all hosts",
            f"`resqued queues resume {shlex.quote(facts.queue)}`",
        )
    paused = [w for w in facts.live if w.is_paused]
    all_are = len(paused) == len(facts.live)
    yield from explain_masters.paused_masters(facts, is_cause=all_are)
    known = facts.paused_masters or facts.paused_elsewhere
    if paused and not known and not facts.is_paused:
        # With the key set the titles are the same, and SIGCONT would not help.
        yield Observation(
            "worker_paused",
            f"{len(paused)} of the {len(facts.live)} live workers that serve"
            f" {facts.queue} are paused: {_ids(paused)}",
            "send SIGCONT to their master",
            is_cause=all_are,
        )


def _lifeless(facts: Facts) -> Iterator[Observation]:
    ways = {
        "dead": "its master buries it, or the next that starts on this host",
        "silent": "see whether its host lives; any master prunes it within minutes",
        "unknown": "it never had a heartbeat: if it is gone,"
        " `resqued workers remove ID`",
    }
    for state, remedy in ways.items():
        gone = [w for w in facts.serving if w.state == state]
        if gone:
            yield Observation(
                f"worker_{state}",
                f"{len(gone)} of the {pluralize(len(facts.serving), 'worker')} that"
                f" serve {facts.queue} {_is(gone)} {state}: {_ids(gone)}",
                remedy,
                is_cause=not facts.live,
            )


def _application(facts: Facts) -> Iterator[Observation]:
    imported = facts.imported
    if facts.untried and facts.class_name:
        yield Observation(
            "not_checked",
            f"the class was not looked for in the application: {facts.untried}",
            is_cause=False,
        )
    if imported is None:
        return
    modules = ", ".join(imported.modules)
    if imported.error:
        yield Observation(
            "not_importable",
            f"the application ({modules}) fails to load: {imported.error}",
            "no new worker can start until that is corrected: `resqued doctor`",
            is_cause=not facts.live,
        )
    elif imported.class_error:
        yield Observation(
            "not_declared",
            f"{imported.class_error}: a worker of these would fail it, not run it",
            "decorate it with resqued.job, or name its module in [app] import",
        )


def _busy(facts: Facts) -> Iterator[Observation]:
    able = [w for w in facts.live if not w.is_paused]
    busy = [w for w in able if w.state == "working"]
    if not busy or len(busy) < len(able):
        return
    oldest = sorted(busy, key=lambda w: -(w.busy_for or 0.0))
    told = [
        f"{w.worker_id} with {w.job_class} of {w.job_queue}{_for(w.busy_for)}"
        for w in oldest
    ]
    everyone = "the only worker" if len(busy) == 1 else f"all {len(busy)} workers"
    yield Observation(
        "all_busy",
        f"{everyone} that {_serve(busy)} {facts.queue} {_is(busy)} working",
        "wait, add workers, or give the queue a pool of its own",
        details=_first(told),
    )


def _starved(facts: Facts) -> Iterator[Observation]:
    able = [w for w in facts.live if not w.is_paused]
    earlier: dict[str, int] = {}
    behind = 0
    full = {name: size for name, size in facts.sizes.items() if size}
    orders = _Orders([*full, *({facts.queue} & facts.sizes.keys() - full.keys())])
    # Of a thousand workers, most have the same list.
    for served, count in Counter(worker.queues for worker in able).items():
        order = list(orders.of(served))
        if facts.queue not in order:
            continue
        before = order[: order.index(facts.queue)]
        found = {name: full[name] for name in before if name in full}
        behind += count if found else 0
        earlier |= found
    if not behind:
        return
    largest = sorted(earlier.items(), key=lambda item: -item[1])
    queues = join_names(
        [f"{name} ({pluralize(n, 'job')})" for name, n in largest], NAMED
    )
    guess = "" if all(w.is_whole for w in able) else ", as far as their ids tell"
    yield Observation(
        "starved",
        f"{behind} of {pluralize(len(able), 'worker')} that {_serve(able)}"
        f" {facts.queue} {'takes' if behind == 1 else 'take'} from earlier queues"
        f" first{guess}:"
        f" {queues}",
        "put it earlier in the list, or give it a pool of its own",
        is_cause=behind == len(able),
    )


class _Orders:
    """The queues that queue lists try, out of the same names; each pattern once."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._matches: dict[str, tuple[str, ...]] = {}

    def of(self, queues: QueueList) -> Iterator[str]:
        """Yield the names that a list tries, in order; some more than once."""
        if queues.exclusions:
            yield from queues.match(self._names)
            return
        for entry in queues.entries:
            if entry not in self._matches:
                self._matches[entry] = QueueList((entry,)).match(self._names)
            yield from self._matches[entry]


def _running(facts: Facts) -> Iterator[Observation]:
    mine = [
        w
        for w in facts.workers
        if w.job_class and w.state in LIVE and w.job_queue == facts.queue
        if facts.class_name in ("", w.job_class)
    ]
    if mine:
        oldest = sorted(mine, key=lambda w: -(w.busy_for or 0.0))
        told = [f"{w.job_class} in {w.worker_id}{_for(w.busy_for)}" for w in oldest]
        yield Observation(
            "running",
            f"{pluralize(len(mine), 'job')} of it {_is(mine)} running now",
            is_cause=False,
            details=_first(told),
        )


def _limits(facts: Facts) -> Iterator[Observation]:
    what = facts.class_name or f"queue {facts.queue}"
    told = [text for limits in facts.allowed if (text := _limits_text(limits))]
    if told:
        yield Observation(
            "limits", f"a job of {what} is ended {' or '.join(told)}", is_cause=False
        )
    if facts.ended:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in facts.ended.items())
        yield Observation(
            "ended_by_limit",
            f"of the newest failures these are of {what}: {kinds}",
            "raise [limits], or have it do less: `resqued failed --class`",
            is_cause=False,
        )
    if facts.failed:
        yield Observation(
            "failed",
            f"of the newest failures {facts.failed} are of {what}",
            "`resqued failed` shows why",
            is_cause=False,
        )


def _unread(facts: Facts) -> Iterator[Observation]:
    if facts.unread:
        told = [f"{n} of {name}" for name, n in facts.unread.items()]
        yield Observation(
            "not_checked",
            "as a class it was looked for among the first jobs of these queues only:"
            f" {join_names(told, NAMED)}",
            "look further with --depth, or in one with --queue",
            is_cause=False,
        )


def _limits_text(limits: Limits) -> str:
    parts = []
    if limits.runtime:
        parts.append(f"after {show_seconds(limits.runtime)}")
    if limits.memory:
        parts.append(f"above {show_size(limits.memory)}")
    return " and ".join(parts)


def _should_run(facts: Facts) -> Observation:
    idle = [w for w in facts.live if w.state == "idle" and not w.is_paused]
    ahead = facts.size - 1 if facts.search is None else facts.search.ahead or 0
    whose = "of it" if facts.search else "of the last one"
    return Observation(
        "should_run",
        f"it should run: {pluralize(ahead, 'job')} ahead {whose},"
        f" {pluralize(len(idle), 'worker')} idle; the next look is within"
        f" {show_seconds(facts.interval)}",
        "ask again in a moment",
        is_cause=False,
    )


def _list_text(queues: QueueList) -> str:
    return ",".join([*queues.entries, *(f"!{name}" for name in queues.exclusions)])


def _first(lines: list[str]) -> tuple[str, ...]:
    """Return the first NAMED lines, and a line with the number of the others."""
    more = len(lines) - NAMED
    return (*lines[:NAMED], *([f"and {more} more"] if more > 0 else []))


def _ids(workers: list[Candidate]) -> str:
    return join_names([worker.worker_id for worker in workers], NAMED)


def _is(workers: list[Candidate]) -> str:
    return "is" if len(workers) == 1 else "are"


def _serve(workers: list[Candidate]) -> str:
    return "serves" if len(workers) == 1 else "serve"


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" for {show_seconds(max(0.0, seconds))}"
