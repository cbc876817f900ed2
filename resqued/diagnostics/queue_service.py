"""Who serves each queue, and which queues need attention. Values only; asks nobody.

A worker is known by the queue list in its id, which has no exclusions, so a worker may
seem to serve a queue that it excludes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from resqued.diagnostics.facts import LIVE
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import StoreError
from resqued.wire.queue_list import QueueList
from resqued.wire.worker_entry import WorkerEntry

# The states of a queue that need attention, the most severe first; "" is none.
NO_WORKER, NO_LIVE_WORKER = "no worker", "no live worker"
PAUSED, STARVED = "paused", "starved"
STATES = (NO_WORKER, NO_LIVE_WORKER, PAUSED, STARVED, "")


class Summary(Struct, frozen=True):
    """What every page shows of a namespace, without the jobs of workers.

    `queues` are the lengths of the queues by name, `working` is the number of workers
    that run a job, `unserved` are the queues with jobs that no worker serves.
    `pausers` are the users who have paused something, by its name in the audit. The
    server's clock is `clock_ahead` seconds ahead of the one of this host. `refused` has
    the errors with which Redis has refused single parts, by the names of the fields,
    which have no meaning then.
    """

    queues: Mapping[str, int] = field(default_factory=dict)
    worker_ids: Sequence[str] = ()
    totals: tuple[int, int] = (0, 0)
    failures: int = 0
    working: int = 0
    are_paused: bool = False
    pausers: Mapping[str, str] = field(default_factory=dict)
    unserved: Sequence[str] = ()
    paused_queues: frozenset[str] = frozenset()
    clock_ahead: float = 0.0
    refused: Mapping[str, StoreError] = field(default_factory=dict)


class QueueService(Struct, frozen=True):
    """A queue with the number of its jobs, and of the workers that serve it.

    `live` of its `workers` are alive; `running` are its jobs that run. `state` is one
    of STATES. `is_paused` is whether this queue is paused, whatever its state; with all
    workers it may be too.
    """

    name: str
    size: int
    workers: int
    live: int
    running: int
    state: str
    is_paused: bool = False


def unserved(sizes: Mapping[str, int], worker_ids: Iterable[str]) -> list[str]:
    """Return the queues with jobs that no worker serves, the longest first."""
    lists = Counter(WorkerEntry(worker_id).queues for worker_id in worker_ids)
    index = _Index(QueueList(queues) for queues in lists)
    left = [n for n, size in sizes.items() if size and not index.is_served(n)]
    return sorted(left, key=lambda name: (-sizes[name], name))


class _Index:
    """Queue lists by the names and by the patterns in them."""

    def __init__(self, lists: Iterable[QueueList]) -> None:
        self.by_name: dict[str, list[QueueList]] = {}
        self.by_pattern: dict[QueueList, list[QueueList]] = {}
        for served in lists:
            for entry in dict.fromkeys(served.entries):
                pattern = QueueList((entry,))
                if pattern.is_dynamic:
                    self.by_pattern.setdefault(pattern, []).append(served)
                else:
                    self.by_name.setdefault(entry, []).append(served)

    def patterns_of(self, name: str) -> tuple[QueueList, ...]:
        """Return the patterns that a name matches."""
        return tuple(pattern for pattern in self.by_pattern if pattern.serves(name))

    def is_served(self, name: str) -> bool:
        """Return True if a list serves the queue."""
        return name in self.by_name or bool(self.patterns_of(name))


class _Group(Struct, frozen=True):
    """Queue lists with a pattern that matches, and their workers.

    `firsts` are the queues that the live workers of the lists take from next.
    """

    lists: frozenset[QueueList]
    workers: int
    live: int
    firsts: frozenset[str]


class QueueServices:
    """The service of any queue of a namespace, from its workers and lengths.

    `sizes` are the lengths of all known queues; with `are_paused` all workers are
    paused, and `paused` are the queues that are.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        workers: Sequence[WorkerStatus],
        *,
        are_paused: bool = False,
        paused: frozenset[str] = frozenset(),
    ) -> None:
        self._sizes = sizes
        self._are_paused = are_paused
        self._paused = paused
        self._running = Counter(w.worker.job.queue for w in workers if w.worker.job)
        every = Counter(w.worker.queues for w in workers)
        live = Counter(w.worker.queues for w in workers if w.state in LIVE)
        # Each queue list with its workers, and how many of them are alive.
        self._lists = {QueueList(q): (n, live[q]) for q, n in every.items()}
        self._index = _Index(self._lists)
        self._first = dict(self._firsts())
        self._groups: dict[tuple[QueueList, ...], _Group] = {}
        self._ranked: list[QueueService] | None = None

    def _firsts(self) -> Iterator[tuple[QueueList, str]]:
        """Yield the queue that live workers of each list take from next, if any."""
        full = sorted(name for name, size in self._sizes.items() if size)
        firsts = {
            pattern.entries[0]: next(filter(pattern.serves, full), "")
            for pattern in self._index.by_pattern
        }
        for served, (_, live) in self._lists.items():
            for entry in served.entries if live else ():
                name = firsts.get(entry, entry if self._sizes.get(entry) else "")
                if name:
                    yield served, name
                    break

    def _group(self, patterns: tuple[QueueList, ...]) -> _Group:
        if patterns not in self._groups:
            by_pattern = self._index.by_pattern
            lists = frozenset(each for p in patterns for each in by_pattern[p])
            counts = [self._lists[each] for each in lists]
            self._groups[patterns] = _Group(
                lists,
                workers=sum(number for number, _ in counts),
                live=sum(live for _, live in counts),
                firsts=frozenset(self._first.get(each, "") for each in lists),
            )
        return self._groups[patterns]

    def _own(self, name: str, group: _Group) -> list[QueueList]:
        """Return the lists that name the queue, without those of the group."""
        return [x for x in self._index.by_name.get(name, ()) if x not in group.lists]

    def of(self, name: str) -> QueueService:
        """Return the service of a queue."""
        group = self._group(self._index.patterns_of(name))
        own = self._own(name, group)
        counts = [self._lists[each] for each in own]
        workers = group.workers + sum(number for number, _ in counts)
        live = group.live + sum(alive for _, alive in counts)
        is_next = name in group.firsts or any(self._first.get(x) == name for x in own)
        size = self._sizes.get(name, 0)
        state = ""
        if size and not live:
            state = NO_LIVE_WORKER if workers else NO_WORKER
        elif name in self._paused or (size and self._are_paused):
            state = PAUSED
        elif size and not is_next:
            state = STARVED
        return QueueService(
            name,
            size,
            workers,
            live,
            self._running[name],
            state,
            is_paused=name in self._paused,
        )

    def ranked(self) -> list[QueueService]:
        """Return all queues; those that need attention first, then the longest."""
        if self._ranked is None:
            found = [*map(self.of, self._sizes)]
            found.sort(key=lambda q: (STATES.index(q.state), -q.size, q.name))
            self._ranked = found
        return self._ranked

    def by_attention(self) -> list[QueueService]:
        """Return all queues with jobs; those that need attention first."""
        return [queue for queue in self.ranked() if queue.size]

    def serving(self, name: str, workers: Iterable[WorkerStatus]) -> list[WorkerStatus]:
        """Return those of the workers whose lists serve a queue."""
        group = self._group(self._index.patterns_of(name))
        lists = {*group.lists, *self._own(name, group)}
        return [w for w in workers if QueueList(w.worker.queues) in lists]
