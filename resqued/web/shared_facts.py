"""What changes slowly, read once for all requests: names of arguments, masters, INFO.

Nothing is read before a page needs it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from resqued.config.web_settings import WebSettings
from resqued.errors import StoreError
from resqued.store.connection import Link
from resqued.store.history import History
from resqued.store.master_records import WATCH_LIFETIME, MasterRecords
from resqued.store.server_facts import ServerFacts, examine
from resqued.store.store_errors import RefusedError
from resqued.web.chart_data import read_all
from resqued.web.class_runs import ClassCounters
from resqued.web.last_hour import TotalHour, read_hour, read_queue_hours
from resqued.web.presence import Presence, read_presence
from resqued.web.shared_read import Breaker, SharedRead, SharedReads
from resqued.wire.keys import Keys
from resqued.wire.master_record import MasterRecord

# How long each is kept, in seconds.
_JOBS, _MASTERS, _SERVER, _PRESENCE = 30.0, 1.0, 5.0, 2.0
# The history has a number for each minute.
_CHARTS, _TODAY = 10.0, 30.0
_MOST_CHARTS = 64
# Asks for the memory of some thousand keys.
_SIZE = 300.0
# Of the frame, which every page asks for.
_TROUBLE = 10.0
# How often resqued:watch is written while a page is looked at; after a refusal.
_WATCH_EVERY, _WATCH_REFUSED = WATCH_LIFETIME / 3, 60.0


class SharedFacts:
    """The slow facts of one site; safe to use from several threads.

    `hour` and `queue_hours` are the last hour of the namespace, and that of some
    queues, by a tuple of their names.
    """

    def __init__(
        self,
        settings: WebSettings,
        link: Link,
        keys: Keys,
        breaker: Breaker,
        timeout: float,
    ) -> None:
        records = MasterRecords(link, keys)
        self._records = records
        self._may_write = not settings.read_only
        self._watch_at = float("-inf")
        history = History(link, keys)
        look = partial(
            examine, settings.url, timeout=timeout, namespace=settings.namespace
        )
        self._jobs = SharedRead(lambda: sorted(records.jobs()), breaker, _JOBS)
        self.server: SharedRead[ServerFacts] = SharedRead(look, breaker, _SERVER)
        self.masters: SharedRead[Sequence[MasterRecord]] = SharedRead(
            records.read, breaker, _MASTERS
        )
        self.troubled: SharedRead[Sequence[MasterRecord]] = SharedRead(
            lambda: [one for one in self.masters.value() if _is_troubled(one)],
            breaker,
            _TROUBLE,
        )
        self.charts = SharedReads(
            partial(read_all, history), breaker, _CHARTS, _MOST_CHARTS
        )
        self.hour: SharedRead[TotalHour | None] = SharedRead(
            partial(read_hour, history), breaker, _CHARTS
        )
        self.queue_hours = SharedReads(
            partial(read_queue_hours, history), breaker, _CHARTS, _MOST_CHARTS
        )
        self.today = SharedRead(ClassCounters(history.today).read, breaker, _TODAY)
        self.history_size = SharedRead(history.size, breaker, _SIZE)
        self.presence: SharedRead[Presence] = SharedRead(
            partial(read_presence, link, keys), breaker, _PRESENCE
        )

    def known_classes(self) -> list[str]:
        """Return the classes that masters have written, sorted."""
        return list(self._jobs.value_or([]))

    def watch(self) -> None:
        """Have masters publish the state of their workers for the next seconds.

        Writes nothing if the pages are read-only, or the user in Redis may not.
        """
        now = time.monotonic()
        if not self._may_write or now < self._watch_at:
            return
        self._watch_at = now + _WATCH_EVERY
        try:
            self._records.watch()
        except RefusedError:
            self._watch_at = now + _WATCH_REFUSED
        except StoreError:
            pass  # the page says so


def _is_troubled(record: MasterRecord) -> bool:
    """Return whether a master stops, or continues with old code after a reload."""
    reload = record.last_reload
    return record.state != "running" or (
        reload is not None and reload.outcome != "done"
    )
