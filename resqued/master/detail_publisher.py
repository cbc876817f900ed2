"""Publishes the state of each worker of this master, while somebody looks at it.

Runs in the master, once for each namespace. A page writes the key `resqued:watch` as
long as it is shown. The master learns of it on the connection of its queue watcher, and
sends no command for it while nobody looks.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from resqued.core.backoff import Backoff
from resqued.core.timings import NEVER, Timings
from resqued.errors import StoreError
from resqued.master.record_publisher import MasterFacts
from resqued.store.connection import SingleLink
from resqued.store.master_records import MasterRecords
from resqued.store.store_errors import RefusedError
from resqued.store.tracked_values import TrackedValues
from resqued.wire.keys import Keys
from resqued.wire.master_record import master_id


class DetailPublisher:
    """Writes the status of this master into one namespace; a part of the master.

    `watched` knows whether somebody looks. `status` returns the status as the control
    socket does, with the usage of each worker.
    """

    def __init__(
        self,
        link: SingleLink,
        namespace: str,
        watched: TrackedValues,
        timings: Timings,
        status: Callable[[float], bytes],
    ) -> None:
        self._link = link
        self._records = MasterRecords(link, Keys(namespace))
        self._watched = watched
        self._interval = timings.detail_interval
        self._status = status
        self._facts: MasterFacts | None = None
        self._write_at = 0.0
        self._backoff = Backoff(first=1.0, cap=60.0)

    def see(self, facts: MasterFacts | None) -> None:
        """Note what is true now; None until the pool is ready for the first time."""
        self._facts = facts

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        if self._facts is None or not self._watched.is_watched:
            return NEVER
        return max(self._write_at, self._backoff.ready_at)

    def turn(self, now: float) -> None:
        """Write the status, if it is due."""
        facts = self._facts
        if facts is None or now < self.due(now):
            return
        self._write_at = now + self._interval
        try:
            own_id = master_id(facts.host, os.getpid())
            if not self._records.write_detail(own_id, self._status(now)):
                self._watched.watch_ended()
            self._backoff = self._backoff.succeeded()
        except RefusedError:  # access rules without this key
            self._watched.watch_ended()
        except StoreError:  # the monitor of Redis logs it
            self._link.close()
            self._backoff = self._backoff.failed(now, random.random())
