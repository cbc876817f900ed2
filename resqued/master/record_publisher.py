"""Publishes what a master is in Redis, where programs on all hosts can read it.

Runs in the master, once for each namespace. The record is written when the pool is
ready, at each change that somebody has ordered, and each minute; it is removed at the
end. Nothing depends on it: a server that refuses it is logged once.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from resqued.core.backoff import Backoff
from resqued.core.limits import UNSET, Limits
from resqued.core.pool_key import PoolKey
from resqued.core.timings import NEVER, Timings
from resqued.core.version import VERSION
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.store.connection import SingleLink
from resqued.store.master_records import MasterRecords
from resqued.store.store_errors import RefusedError
from resqued.system.ownership import user_name
from resqued.systemd import instance
from resqued.wire import queue_list
from resqued.wire.keys import Keys
from resqued.wire.master_record import (
    MasterRecord,
    RecordedLimits,
    RecordedPool,
    RecordedReload,
    master_id,
)


class MasterFacts(NamedTuple):
    """What is true of a master, in all of its namespaces.

    `since` is when its program started, in seconds after the epoch. `wanted` and `live`
    are numbers of workers. `jobs` is JSON about the jobs of the application, which the
    generation `incumbent` has imported.
    """

    host: str
    since: float
    state: str
    is_paused: bool
    generation: int
    last_reload: RecordedReload | None
    wanted: Mapping[PoolKey, int]
    limits: Mapping[PoolKey, Limits]
    live: Mapping[PoolKey, int]
    incumbent: int
    jobs: Mapping[str, str]

    @property
    def ordered(self) -> tuple[object, ...]:
        """What changes by orders alone, to be compared."""
        return (*self[2:6], dict(self.wanted), self.limits, self.incumbent)

    def record(self, namespace: str) -> MasterRecord:
        """Return the record of this process for one of its namespaces."""
        pid = os.getpid()
        return MasterRecord(
            id=master_id(self.host, pid),
            host=self.host,
            pid=pid,
            version=VERSION,
            since=round(self.since, 3),
            at=round(time.time(), 3),
            state=self.state,
            is_paused=self.is_paused,
            generation=self.generation,
            last_reload=self.last_reload,
            pools=tuple(
                self._pool(pool, wanted)
                for pool, wanted in self.wanted.items()
                if pool.namespace == namespace
            ),
            hidden_user=user_name(os.geteuid()),
            instance=_instance(),
        )

    def _pool(self, pool: PoolKey, wanted: int) -> RecordedPool:
        served = queue_list.parse(pool.queues)
        return RecordedPool(
            name=pool.queues,
            queues=served.entries,
            exclusions=served.exclusions,
            wanted=wanted,
            live=self.live.get(pool, 0),
            limits=RecordedLimits(**self.limits.get(pool, UNSET)._asdict()),
        )


@cache
def _instance() -> str:
    """Return the name of this process as an instance of resqued@.service, or ""."""
    try:
        return instance.of_cgroup(Path("/proc/self/cgroup").read_text("utf-8"))
    except (OSError, ValueError):
        return ""


class RecordPublisher:
    """Writes the record of this master into one namespace; a part of the master."""

    def __init__(
        self, link: SingleLink, namespace: str, timings: Timings, log: Logger
    ) -> None:
        self._link = link
        self._namespace = namespace
        self._records = MasterRecords(link, Keys(namespace))
        self._timings = timings
        self._log = log
        self._facts: MasterFacts | None = None
        # What the last record says, and the id that it has.
        self._written: MasterFacts | None = None
        self._id = ""
        self._write_at = self._live_at = 0.0
        # The generation whose jobs were written.
        self._jobs_of = 0
        self._was_refused = False
        self._backoff = Backoff(first=1.0, cap=60.0)

    def see(self, facts: MasterFacts | None) -> None:
        """Note what is true now; None until the pool is ready for the first time."""
        self._facts = facts

    def write_soon(self) -> None:
        """Write the record at the next turn: the server has lost it."""
        self._write_at, self._jobs_of = 0.0, 0

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        facts, written = self._facts, self._written
        if facts is None:
            return NEVER
        due = self._write_at
        if written is None or facts.ordered != written.ordered:
            due = 0.0
        elif facts.live != written.live:
            due = min(due, self._live_at)
        return max(due, self._backoff.ready_at)

    def turn(self, now: float) -> None:
        """Write the record, if it is due."""
        facts = self._facts
        if facts is None or now < self.due(now):
            return
        # Whether the server takes it or not, the next one has its time.
        is_first, self._written = self._written is None, facts
        self._write_at = now + self._timings.record_interval * random.uniform(0.9, 1)
        self._live_at = now + self._timings.live_interval
        try:
            self._write(facts, is_first=is_first)
            self._backoff = self._backoff.succeeded()
        except RefusedError as error:
            if not self._was_refused:
                self._was_refused = True
                self._log.warning("record_refused", error=str(error))
        except StoreError:  # the monitor of Redis logs it
            self._link.close()
            self._written = None
            self._backoff = self._backoff.failed(now, random.random())

    def _write(self, facts: MasterFacts, *, is_first: bool) -> None:
        record = facts.record(self._namespace)
        self._id = record.id
        self._records.write(record)
        if facts.jobs and facts.incumbent != self._jobs_of:
            self._records.write_jobs(facts.jobs)
            self._jobs_of = facts.incumbent
        if is_first:
            self._records.forget_lost()

    def close(self) -> None:
        """Remove the record, unless the server is away; it expires then."""
        if self._id and self._backoff.ready_at == 0:
            with suppress(StoreError):
                self._records.remove(self._id)
        self._id = ""
