"""The runs of a worker for the history: counted at each end, written once a minute.

Runs in the worker. A run costs a few additions; Redis is asked with the heartbeat and
when the worker leaves, and only if a run has ended since. Counts that were not written
yet are lost if the worker is killed.
"""

from __future__ import annotations

from resqued.config.settings import AppSettings
from resqued.core.run_tally import RunTally
from resqued.log.logger import Logger
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.store.store_errors import NotPrimaryError, RefusedError
from resqued.wire import payload
from resqued.wire.keys import Keys
from resqued.wire.payload import Reservation

# Runs that are counted together, and how long a payload may be to be kept until then.
_BATCH = 32
_LONG = 4096


class WorkerHistory:
    """Counts the runs of one worker, unless the configuration turns it off."""

    def __init__(self, settings: AppSettings, link: SingleLink, log: Logger) -> None:
        self._is_on = settings.history != "off"
        # hot path: counted-later
        self._ended: list[tuple[Reservation, float, bool]] = []
        self._tally = RunTally()
        by_hour = settings.history == "hours"
        self._writer = HistoryWriter(link, Keys(settings.namespace), by_hour=by_hour)
        self._log = log
        self._was_refused = False

    def count(self, held: Reservation, seconds: float, *, has_failed: bool) -> None:
        """Count a run that took `seconds`."""
        if self._is_on:
            self._ended.append((held, seconds, has_failed))
            if len(self._ended) >= _BATCH or len(held.payload) > _LONG:
                self._add_up()

    def _add_up(self) -> None:
        for held, seconds, has_failed in self._ended:
            self._tally.count(
                payload.class_of(held.payload),
                held.queue,
                int(seconds * 1000),
                has_failed=has_failed,
            )
        self._ended.clear()

    def flush(self) -> None:
        """Write what was counted. Raises StoreError if Redis cannot be reached.

        The counts are kept then. They are lost if the server refuses them, because it
        may have taken a part.
        """
        self._add_up()
        if not self._tally:
            return
        try:
            self._writer.add_runs(self._tally)
        except NotPrimaryError:
            raise
        except RefusedError as error:
            if not self._was_refused:
                self._log.warning("history_refused", error=str(error))
            self._was_refused = True
        self._tally.clear()
