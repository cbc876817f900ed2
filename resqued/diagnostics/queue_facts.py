"""Gathers facts about a queue and the workers that may serve it, for `resqued why`.

Reads in pages and changes nothing; diagnostics.explain judges.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import Struct

from resqued.client import Client
from resqued.config.environment import read_environment
from resqued.config.loader import Config
from resqued.core.limits import UNSET, Limits
from resqued.core.plural import pluralize
from resqued.diagnostics import app_import
from resqued.diagnostics.facts import Candidate, Facts, Search, Waiting
from resqued.diagnostics.import_result import Import
from resqued.diagnostics.known_masters import (
    KnownMaster,
    is_paused,
    known_masters,
    list_of,
)
from resqued.diagnostics.worker_status import WorkerStatus, worker_statuses
from resqued.errors import ConfigError, PayloadError, ResquedError
from resqued.store.delayed import DelayedJob
from resqued.store.failure_entry import Failure
from resqued.store.failures import PAGE
from resqued.store.job_queues import Queues
from resqued.store.namespaces import look_elsewhere
from resqued.store.quarantine import QuarantinedJob
from resqued.store.server_facts import find_server
from resqued.store.waiting_retries import WaitingRetries
from resqued.system import process
from resqued.wire import payload, queue_list, timestamps
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList

# The bytes that a search for a class reads, in all queues together, and the least in
# each queue; and the least number of jobs that are read of each queue.
ROOM = 256 << 20
LEAST_ROOM = 4 << 20
LEAST_DEPTH = 1_000
# Returns the masters of a namespace.
Masters = Callable[[Client, Config], Sequence[KnownMaster]]
# The title of a paused worker in `ps`, of this package or Ruby's.
_PAUSED = re.compile(r"resque-\S+?(\[.+\])?: Paused")
_BY_LIMIT = (payload.JOB_TIMEOUT, payload.MEMORY_LIMIT, payload.OUT_OF_MEMORY)


class Query(Struct, frozen=True):
    """A question: a name of a queue or class, and where to search for it.

    A class is searched for among `depth` jobs, of which at least `least_depth` in each
    queue, and in no more than `most_queues` queues.
    """

    name: str
    queue: str | None
    depth: int
    least_depth: int = LEAST_DEPTH
    most_queues: int | None = None
    room: int = ROOM


class ImportAttempt(Struct, frozen=True):
    """The result of importing the application, or the reason why it was not tried."""

    result: Import | None = None
    reason: str = ""

    @property
    def is_declared(self) -> bool:
        """Whether the class that was asked for is a job of the application."""
        tried = self.result
        return tried is not None and not (tried.error or tried.class_error)


class KnownState(Struct, frozen=True):
    """The lengths of all queues, and all workers, as somebody has just read them."""

    sizes: Mapping[str, int]
    workers: Sequence[WorkerStatus]


class FactGatherer:
    """Gathers facts; those that all queues of a question share are read once.

    `masters` returns the masters: those that answer at their sockets and those that
    Redis knows, or these alone. `known` is what has been read before.
    """

    def __init__(
        self,
        client: Client,
        config: Config,
        *,
        is_import_allowed: bool,
        masters: Masters = known_masters,
        known: KnownState | None = None,
    ) -> None:
        self._client = client
        self._config = config
        self._may_import = is_import_allowed
        self._keys = Keys(client.namespace)
        self._queues = Queues(client.registry.link, self._keys)
        self._sizes = known.sizes if known else self._queues.sizes()
        self._masters = masters(client, config)
        found = known.workers if known else worker_statuses(client)
        self._workers = tuple(map(self._candidate, found))
        self._failures = client.failures.page(count=PAGE)
        self._delayed = client.delayed.page(count=PAGE)
        app = config.app
        self._server = find_server(
            app.url, timeout=app.redis_timeout, namespace=client.namespace
        )
        waiting = WaitingRetries(client.registry.link, self._keys, client.delayed)
        self._retries = list(waiting.among(self._delayed))
        self._quarantined = client.quarantine.page(count=PAGE)

    def answers(self, question: Query) -> Iterator[Facts]:
        """Yield the facts of each queue that the question concerns.

        Raises ResquedError if the name is neither a queue nor a class that is found.
        """
        name, queue = question.name, question.queue
        is_queue = name in self._sizes or self._queues.size(name)
        if queue is None and is_queue:
            yield self._facts(name, None)
            return
        places = [queue] if queue else list(self._sizes)
        found = self._search(places, question)
        unread = {
            place: search.looked_at
            for place, search in found.items()
            if search.ahead is None and search.looked_at < self._sizes.get(place, 0)
        }
        wanted = [p for p in places if p == queue or found[p].ahead is not None]
        for place in self._where_it_was(name) if not wanted else ():
            found.setdefault(place, Search(name, None, 0))
            wanted.append(place)
        tried = self._try(name)
        if not wanted and not tried.is_declared:
            yield replace(self._facts(name, None), unread=unread)
        elif not wanted:
            where = f"{pluralize(len(places), 'queue')}"
            where = f"the first jobs of {where} (see --depth)" if unread else where
            raise ResquedError(
                f"no job of {name} waits in {where}, runs, or is among the newest"
                " failures; name a queue with --queue"
            )
        for place in wanted:
            others = {name: n for name, n in unread.items() if name != place}
            yield replace(self._facts(place, found[place], tried), unread=others)

    def _search(self, places: Sequence[str], question: Query) -> dict[str, Search]:
        """Search for the first job of a class in each queue, up to the depth.

        Short queues come first, so that long ones can use the rest of the depth.
        """
        depth = question.depth
        full = [place for place in places if self._sizes.get(place, 1)]
        room = max(LEAST_ROOM, question.room // (len(full) or 1))
        by_size = sorted(full, key=lambda place: self._sizes.get(place, 0))
        found = {p: Search(question.name, None, 0) for p in places}
        by_size = by_size[: question.most_queues]
        for left, place in zip(range(len(by_size), 0, -1), by_size, strict=True):
            share = max(question.least_depth, depth // left)
            found[place] = self._find(place, question.name, share, room)
            depth = max(0, depth - found[place].looked_at)
        return found

    def _find(self, queue: str, class_name: str, depth: int, room: int) -> Search:
        seen = 0
        for raw in self._queues.from_head(queue, depth, room):
            if _is_of(raw, class_name):
                return Search(class_name, seen, seen)
            seen += 1
        return Search(class_name, None, seen)

    def _where_it_was(self, name: str) -> list[str]:
        """Return the queues of jobs of a class that run, wait for a time, or failed."""
        places = [j.queue for j in self._delayed if j.class_name == name and j.queue]
        places += [j.queue for j in self._quarantined if j.class_name == name]
        places += [w.job_queue for w in self._workers if w.job_class == name]
        places += [f.queue for f in self._failures if f.class_name == name and f.queue]
        return list(dict.fromkeys(places))

    def _facts(
        self, queue: str, search: Search | None, tried: ImportAttempt | None = None
    ) -> Facts:
        """Return the facts of one queue, and of the class if one was asked for."""
        pools = self._pools()
        elsewhere = look_elsewhere(self._client.registry.link, self._keys, queue)
        class_name = search.class_name if search else ""
        failed = [f for f in self._failures if _is_about(f, queue, class_name)]
        facts = Facts(
            namespace=self._client.namespace,
            queue=queue,
            size=self._queues.size(queue),
            sizes=self._sizes,
            is_known=queue in self._sizes,
            elsewhere=elsewhere.queues,
            unseen=elsewhere.unseen,
            is_paused=self._queues.are_paused(),
            is_queue_paused=queue in self._queues.paused(),
            workers=self._workers,
            pools=tuple(served for served, _ in pools),
            search=search,
            failed=len(failed),
            ended=_ended(failed),
            interval=self._config.interval,
            server=self._server,
            waiting=self._waiting(queue, class_name),
        )
        # Without live workers it matters whether the application can be imported.
        tried = tried or (ImportAttempt() if facts.live else self._try(""))
        limits = [limits for served, limits in pools if facts.is_served_by(served)]
        return replace(
            facts,
            **self._masters_of(facts),
            imported=tried.result,
            untried=tried.reason,
            allowed=self._allowed(queue, class_name, limits, tried.result),
        )

    def _waiting(self, queue: str, class_name: str) -> Waiting:
        """Return what is known of the jobs that are not on the queue."""

        def is_about(job: DelayedJob | QuarantinedJob) -> bool:
            return job.queue == queue and class_name in ("", job.class_name)

        retries = [retry for retry in self._retries if is_about(retry.job)]
        tried = {retry.job.id for retry in retries}
        delayed = [j for j in self._delayed if is_about(j) and j.id not in tried]
        aside = [job for job in self._quarantined if is_about(job)]
        return Waiting(
            len(delayed),
            _until(delayed[0]) if delayed else "",
            len(retries),
            _until(retries[0].job) if retries else "",
            retries[0].error if retries else "",
            len(aside),
            _time(aside[0].quarantined_at) if aside else "",
            aside[0].failure.error if aside else "",
        )

    def _pools(self) -> list[tuple[QueueList, Limits]]:
        """Return the configured pools of this namespace: queue list and limits."""
        return [
            (queue_list.parse(pool.queues), pool.limits)
            for pool in self._config.pools
            if pool.namespace == self._client.namespace
        ]

    def _allowed(
        self,
        queue: str,
        class_name: str,
        pools: Sequence[Limits],
        tried: Import | None,
    ) -> tuple[Limits, ...]:
        """Return the limits of a job, in each pool that may run it."""
        declared = UNSET if tried is None else tried.limits
        found = (
            self._config.app.rules.for_pool(pool).of(
                queue, class_name, declared=declared
            )
            for pool in pools or (UNSET,)
        )
        return tuple(dict.fromkeys(found))

    def _masters_of(self, facts: Facts) -> dict[str, Any]:
        """Return which masters serve the queue elsewhere, and which are paused."""
        serving = [m for m in self._masters if any(map(facts.is_served_by, m.lists))]
        others = [m for m in serving if not m.answers]
        return {
            "paused_masters": tuple(
                m.pid for m in serving if m.answers and m.is_paused
            ),
            "other_masters": tuple(m.id for m in others),
            "paused_elsewhere": tuple(m.id for m in others if m.is_paused),
        }

    def _candidate(self, status: WorkerStatus) -> Candidate:
        worker, job = status.worker, status.worker.job
        whole = list_of(self._masters, worker.id)
        title = process.title(worker.pid) if worker.host == process.hostname() else ""
        return Candidate(
            worker.id,
            queues=whole or QueueList(worker.queues),
            state=status.state,
            is_paused=bool(_PAUSED.match(title)) or is_paused(self._masters, worker.id),
            job_class=job.class_name if job else "",
            job_queue=job.queue if job else "",
            busy_for=status.job_age,
            is_whole=whole is not None or not QueueList(worker.queues).is_dynamic,
        )

    def _try(self, class_name: str) -> ImportAttempt:
        """Import the application, or return the reason why it was not tried."""
        app = self._config.app
        if not self._may_import:
            return ImportAttempt(reason="--no-import")
        if not app.modules:
            reason = "neither the configuration nor --app names its modules"
            return ImportAttempt(reason=reason)
        try:
            more = read_environment(self._config.environment)
        except ConfigError as error:
            return ImportAttempt(reason=str(error))
        tried = app_import.attempt(
            app,
            environment={**os.environ, **more},
            class_name=class_name,
            timeout=self._config.start_timeout,
        )
        return ImportAttempt(tried)


def _ended(failed: Iterable[Failure]) -> Counter[str]:
    """Return how many jobs each limit has ended, by exception."""
    kinds = (failure.fields.get("exception") for failure in failed)
    return Counter(str(kind) for kind in kinds if kind in _BY_LIMIT)


def _until(job: DelayedJob) -> str:
    return _time(job.due_at) or job.time


def _time(at: datetime | None) -> str:
    return "" if at is None else timestamps.heartbeat(at.timestamp())


def _is_about(failure: Failure, queue: str, class_name: str) -> bool:
    """Return True if a failure is of the class or, without a class, of the queue."""
    if class_name:
        return failure.class_name == class_name
    return failure.queue == queue


def _is_of(raw: bytes, class_name: str) -> bool:
    # Only a payload with the name or with an escape can be of the class, so few
    # payloads are decoded.
    if class_name.encode("utf-8", "surrogateescape") not in raw and b"\\" not in raw:
        return False
    try:
        return payload.decode_job(raw).class_name == class_name
    except PayloadError:
        return False
