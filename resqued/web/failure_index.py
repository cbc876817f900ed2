"""The index of all failures: groups, counts and filters, whatever the length of lists.

In memory, one for each process. A thread builds it when a page first wants it, follows
the lists while pages are looked at, rests when nobody has looked for 10 seconds, and
ends after 15 minutes.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import cast

from flask import Flask, current_app
from msgspec import Struct

from resqued.errors import StoreError
from resqued.log import logger
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_groups import FailureGroups, GroupCount
from resqued.web.failure_matches import FilterMatches, ListedPlace, Matches
from resqued.web.list_index import ListIndex
from resqued.web.site import Site, site
from resqued.wire.keys import prefix_of

_NAME = "resqued-failure-index"
# The thread ends, and all is forgotten, after so many seconds without a look.
FORGOTTEN_AFTER = 900.0
# Between two batches, so that Redis and other threads get their turn; and when nothing
# has changed.
_PAUSE, _IDLE = 0.001, 1.0
# The thread asks Redis nothing when nobody has looked for so many seconds.
UNSEEN = 10.0
# How long a request waits for a first result, in seconds; if more than so many entries
# are missing, it could not be complete.
FIRST_RESULT, _LONG_RESULT, _MANY = 0.4, 0.08, 5_000
# How long a request waits for the count of a filter, in seconds; how long a filter is
# followed after it was last asked for; how many are.
_FIRST_COUNT, _FOLLOWED, _KEPT_FILTERS = 0.1, 30.0, 8

# A filter, and the name of a list.
_Asked = tuple[FailureFilter, str | None]


class Coverage(Struct, frozen=True):
    """How much the index knows: `read` of `wanted` entries; the lists have `length`."""

    read: int = 0
    wanted: int = 0
    length: int = 0
    problem: str = ""

    @property
    def percent(self) -> int:
        """How much of what is wanted has been read."""
        return 100 if self.read >= self.wanted else 100 * self.read // self.wanted

    @property
    def is_complete(self) -> bool:
        """Whether all wanted entries have been read."""
        return self.read >= self.wanted

    @property
    def is_exact(self) -> bool:
        """Whether every entry is known, as it was a moment ago."""
        return self.is_complete and not self.is_bounded and not self.problem

    @property
    def is_bounded(self) -> bool:
        """Whether the lists are longer than the index may be."""
        return self.wanted < self.length


class FailureIndex:
    """The index of the failures of a site; safe to use from several threads."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._first = threading.Event()
        self._wake = threading.Event()
        self._looked_at = 0.0
        self._problem = ""
        self._forget()

    def _forget(self) -> None:
        self._groups = FailureGroups()
        self._lists: dict[str, ListIndex] = {}
        self._filters: dict[_Asked, FilterMatches] = {}

    def look(self) -> Coverage:
        """Say that a page needs the index; return how much it knows.

        Waits a moment for a first result, so that short lists are complete at once.
        """
        with self._starting:
            self._looked_at = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._first.clear()
                self._thread = threading.Thread(
                    target=self._run, name="failure index", daemon=True
                )
                self._thread.start()
            if not self._first.is_set():
                self._wake.set()
        self._first.wait(FIRST_RESULT)
        with self._groups.lock:
            lists = self._lists.values()
            return Coverage(
                sum(each.rows for each in lists),
                sum(each.wanted for each in lists),
                sum(each.length for each in lists),
                self._problem,
            )

    def close(self, patience: float) -> None:
        """End the thread, and wait for that so many seconds; `look` starts another."""
        with self._starting:
            thread, self._looked_at = self._thread, -math.inf
        self._wake.set()
        if thread is not None:
            thread.join(patience)

    def groups(self, by: str = "group") -> list[GroupCount]:
        """Return the counts by class, exception or group, the largest first."""
        with self._groups.lock:
            return self._groups.summed(by)

    def matches(self, which: FailureFilter, list_name: str | None = None) -> Matches:
        """Return the failures that a filter without a text has, as far as is counted.

        Those of all lists, or of one. The first time it waits a moment for a result;
        then the thread keeps it up while pages ask for it.
        """
        asked = which, list_name
        with self._groups.lock:
            found = self._filters.get(asked)
            if found is None:
                found = FilterMatches(which, list_name, self._groups)
                while len(self._filters) >= _KEPT_FILTERS:
                    del self._filters[next(iter(self._filters))]
                self._filters[asked] = found
                self._wake.set()
            found.looked_at = time.monotonic()
        found.is_counted.wait(_FIRST_COUNT)
        return found.result()

    def read(self, places: list[ListedPlace]) -> list[Failure]:
        """Return the failures at places, without those that are gone; asks Redis."""
        key = prefix_of(self._site.keys)
        found = self._site.client.registry.link.pipeline(
            [("LINDEX", f"{key}{each.list_name}", each.position) for each in places]
        )
        return [
            Failure(entry, place.position, place.list_name)
            for place, entry in zip(places, found, strict=True)
            if entry is not None
        ]

    def _run(self) -> None:
        """Build the index and follow the lists, in a thread of its own."""
        began, next_turn, is_busy = time.monotonic(), 0.0, False
        try:
            while time.monotonic() - self._looked_at < FORGOTTEN_AFTER:
                if time.monotonic() - self._looked_at > UNSEEN:
                    self._first.clear()
                    self._wake.wait(_IDLE)
                    self._wake.clear()
                    began = time.monotonic()
                    continue
                if time.monotonic() >= next_turn:
                    is_busy = self._turn()
                    next_turn = time.monotonic() + (_PAUSE if is_busy else _IDLE)
                is_counting = self._count()
                if not is_busy or time.monotonic() - began > self._patience():
                    self._first.set()
                rest = next_turn - time.monotonic()
                self._wake.wait(max(0.0, _PAUSE if is_counting else rest))
                self._wake.clear()
        except Exception as error:
            logger.get().error("web_error", path="failure index", exc_info=error)
            self._problem = f"the index has failed: {type(error).__name__}"
        finally:
            with self._groups.lock:
                self._forget()
            self._first.set()

    def _patience(self) -> float:
        """Return how long a request may wait for the first result, in seconds."""
        missing = sum(each.wanted - each.rows for each in self._lists.values())
        return _LONG_RESULT if missing > _MANY else FIRST_RESULT

    def _count(self) -> bool:
        """Count a slice for each filter; return False if all are counted."""
        with self._groups.lock:
            now, filters = time.monotonic(), self._filters
            for asked, each in [*filters.items()]:
                if now - each.looked_at > _FOLLOWED:
                    del filters[asked]
            columns = {name: each.columns for name, each in self._lists.items()}
            followed = [*filters.values()]
        # Each gets its turn.
        found = [each.turn(columns) for each in followed]
        return any(found)

    def _turn(self) -> bool:
        """Read one batch of each list; return False if nothing has changed."""
        try:
            self._problem = ""
            found = [self._turn_of(name) for name in self._names()]
            return any(found)
        except StoreError as error:
            self._problem = str(error)
            return False

    def _names(self) -> list[str]:
        names = self._site.client.failures.lists()
        with self._groups.lock:
            for gone in set(self._lists) - set(names):
                self._lists.pop(gone).clear()
        return names

    def _turn_of(self, name: str) -> bool:
        link, keys = self._site.client.registry.link, self._site.keys
        if name not in self._lists:
            most, key = self._site.settings.index, f"{prefix_of(keys)}{name}"
            with self._groups.lock:
                self._lists[name] = ListIndex(link, key, self._groups, most)
        if link.call("HEXISTS", keys.bulk, name):
            # Its entries move about until the operation has ended.
            self._problem = "a task works on the list: the counts are those before it"
            return False
        return self._lists[name].turn()


def failure_index() -> FailureIndex:
    """Return the index of the current application."""
    found = current_app.extensions.get(_NAME)
    if found is None:
        found = current_app.extensions.setdefault(_NAME, FailureIndex(site()))
    return cast("FailureIndex", found)


def close_failure_index(app: Flask, patience: float) -> None:
    """End the index of an application, if it has one; see its `close`."""
    found = app.extensions.get(_NAME)
    if found is not None:
        found.close(patience)


def to_retry(which: FailureFilter) -> FailureFilter:
    """Return the filter without the failures that a retry leaves out."""
    return replace(which, is_retried=False) if which.is_retried is None else which
