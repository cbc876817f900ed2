"""Writes the readings of each minute to the history, and sums the minutes of past days.

Runs in the master, one small step at each turn, so that signals never wait. One master
of a namespace has the turn of each minute; workers write the counts of their runs.

A master whose workers run nothing, while nobody looks, reads once in fifteen minutes,
for as long as the readings stay the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.timings import NEVER
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.master.worker_handle import WorkerHandle
from resqued.store.history_readings import read_now
from resqued.store.history_rollup import HistoryRollup
from resqued.store.history_writer import HistoryWriter
from resqued.store.registry import Registry
from resqued.store.store_errors import NotPrimaryError, RefusedError
from resqued.store.tracked_values import TrackedValues

_MINUTE = 60.0
# The seconds of each minute at which masters ask for their turn. A master keeps its
# own second: the turn lasts 55 s, so the one that has it gets it again.
_SECONDS = (1.0, 50.0)
# The turn of this minute was asked for so few seconds ago: the next one is due.
_JUST_NOW = 5.0
# How long a master that sees nothing happen leaves out its turns.
_QUIET = 15 * _MINUTE


class HistoryKeeper:
    """Keeps the history of a namespace; a part of the master.

    `watched` knows whether somebody looks. `workers` returns the workers of this master
    in the namespace; the master sets it.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        registry: Registry,
        watched: TrackedValues,
        owner: str,
        log: Logger,
    ) -> None:
        self._config = config
        self._registry = registry
        self._watched = watched
        self._owner = owner
        self._log = log
        self.workers: Callable[[], Sequence[WorkerHandle]] = list
        self._second = random.uniform(*_SECONDS)
        self._round: Iterator[None] | None = None
        self._next = 0.0
        self._was_refused = False
        self._backoff = Backoff(first=1.0, cap=_MINUTE)
        # Until when turns are left out, if the workers settle no more runs than these.
        self._quiet_until = 0.0
        self._settled: int | None = None
        # The readings that this master wrote last, and when: None before the first.
        self._written: tuple[object, float] | None = None

    def due(self, now: float) -> float:
        """Return when `turn` has something to do."""
        if self._config().app.history == "off":
            return NEVER
        if self._round is not None:
            return now
        return max(self._next, self._backoff.ready_at)

    def turn(self, now: float) -> None:
        """Take one step of a round, or begin one if it is due."""
        if now < self.due(now):
            return
        if self._round is None and self._is_quiet(now):
            self._next = now + _MINUTE
            return
        try:
            if self._round is None:
                self._round = self._keep(now)
            if next(self._round, self) is self:
                self._round = None
            self._backoff = self._backoff.succeeded()
        except StoreError as error:  # the monitor of Redis says so
            self._round = self._written = None
            self._backoff = self._backoff.failed(now, random.random())
            if isinstance(error, RefusedError) and not isinstance(
                error, NotPrimaryError
            ):
                self._refused(error, now)
            else:
                self._registry.link.close()

    def _is_quiet(self, now: float) -> bool:
        """Return True if this turn can be left out."""
        before, self._settled = self._settled, self._runs()
        is_same = before is not None and before == self._settled
        return is_same and now < self._quiet_until

    def _runs(self) -> int | None:
        """Return how many runs the workers have settled.

        None while one of them has a job, or somebody looks.
        """
        workers = [worker for worker in self.workers() if not worker.is_gone]
        if self._watched.is_watched or any(worker.has_job for worker in workers):
            return None
        return sum(worker.scoreboard.run_counts().done for worker in workers)

    def _refused(self, error: StoreError, now: float) -> None:
        """Log, once, that the server refuses to keep the history."""
        self._next = now + _MINUTE
        if not self._was_refused:
            self._log.warning("history_refused", error=str(error))
        self._was_refused = True

    def _keep(self, now: float) -> Iterator[None]:
        """Write the readings of this minute, and sum a day that is over."""
        link, keys = self._registry.link, self._registry.keys
        by_hour = self._config().app.history == "hours"
        writer = HistoryWriter(link, keys, by_hour=by_hour)
        time, has_turn = writer.take_turn(self._owner)
        wait = (self._second - time) % _MINUTE
        self._next = now + wait + (_MINUTE if wait < _JUST_NOW else 0.0)
        self._quiet_until = now + _QUIET
        if not has_turn:
            return
        yield
        readings, waiting = yield from read_now(self._registry)
        found = readings | {"redis": 0}, waiting
        before, at = self._written or (found, now)
        if before != found:
            self._quiet_until = now
        quiet = min(now - at, _QUIET) - _MINUTE
        writer.set_readings(time, readings, waiting, quiet=quiet)
        self._written = found, now
        yield
        rollup = HistoryRollup(link, keys)
        for day in rollup.due_days(time):
            yield from rollup.steps(day)
