"""Moves delayed jobs that are due to their queues.

Runs in every master; the server elects one of them (store/lua/move_due.lua). It sleeps
until the next job is due, and longer than that only looks after its election. A nearer
job wakes it by a message of the server. The others wait until the election ends.
"""

from __future__ import annotations

import random

from resqued.core.backoff import Backoff
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.scheduler.pacing import LEAST_WAIT, wait_after
from resqued.store.due_jobs import DueJobs, Move
from resqued.store.store_errors import DisconnectedError
from resqued.system.poller import Poller

# Masters that wait for the end of an election do not all ask at once: in seconds.
_SPREAD = 0.2


class DelayedMover:
    """A part of the master's loop. `lease` and `poll` are in seconds; see pacing."""

    def __init__(
        self, jobs: DueJobs, poller: Poller, log: Logger, *, lease: float, poll: float
    ) -> None:
        self._jobs = jobs
        self._poller = poller
        self._log = log
        self._lease = lease
        self._poll = poll
        self._is_open = False
        self._fd: int | None = None
        self._state = ""
        self._look_at = 0.0
        self._looked_at = 0.0
        # Other parts of the master log that Redis is away.
        self._backoff = Backoff(first=0.1, cap=2.0)
        self._refusal = ""

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        return self._look_at if self._is_open else self._backoff.ready_at

    def hear(self, now: float) -> None:
        """Read the messages of the server."""
        try:
            if self._jobs.drain():
                soon = max(now, self._looked_at + LEAST_WAIT)
                self._look_at = min(self._look_at, soon)
        except StoreError as error:
            self._lose(error, now)

    def turn(self, now: float) -> None:
        """Move one batch, if something is due."""
        if now < self.due(now):
            return
        try:
            if not self._is_open:
                self._open()
            move = self._jobs.move(self._lease)
        except StoreError as error:
            self._lose(error, now)
            return
        self._looked_at = now
        self._backoff, self._refusal = self._backoff.succeeded(), ""
        self._report(move)
        wait = wait_after(
            move,
            lease=self._lease,
            poll=self._poll,
            is_tracking=self._jobs.is_tracking,
        )
        spread = random.random() * _SPREAD if move.state == "standby" else 0.0
        self._look_at = now + wait + spread

    def _open(self) -> None:
        self._jobs.open()
        self._is_open = True
        self._fd = self._jobs.fileno()
        if self._fd is not None:
            self._poller.register(self._fd, self.hear)

    def _report(self, move: Move) -> None:
        if move.state != self._state:
            self._state = move.state
            if move.state == "foreign":
                self._log.warning("scheduler_foreign", lock_ends_in=move.holds)
            elif move.state == "elected":
                self._log.info("scheduler_elected")
        if move.moved:
            self._log.debug("delayed_moved", jobs=move.moved)
        name, reason = move.odd
        if name:
            self._log.error("delayed_failed", item=name, reason=reason)

    def _lose(self, error: StoreError, now: float) -> None:
        self.close()
        self._backoff = self._backoff.failed(now, random.random())
        reason = str(error)
        if not isinstance(error, DisconnectedError) and reason != self._refusal:
            self._refusal = reason
            self._log.error("scheduler_failed", reason=reason)

    def use(self, url: str) -> None:
        """Close the connection; the next turn opens one for this URL."""
        self.close()
        self._jobs.use(url)

    def close(self) -> None:
        """Close the connection; the next turn opens another."""
        self._is_open = False
        if self._fd is not None:
            self._poller.unregister(self._fd)
            self._fd = None
        self._jobs.close()
