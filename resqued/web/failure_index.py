"""The index of all failures: groups, counts and filters, whatever the length of lists.

In memory, one for each process. A thread builds it when a page first wants it, follows
the lists while pages are looked at, and ends when nobody has looked for 15 minutes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

from flask import current_app

from resqued.errors import StoreError
from resqued.log import logger
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_groups import FailureGroups, GroupCount
from resqued.web.list_index import ListIndex
from resqued.web.site import Site, site
from resqued.wire.keys import prefix_of

_NAME = "resqued-failure-index"
# The thread ends, and all is forgotten, after so many seconds without a look.
FORGOTTEN_AFTER = 900.0
# Between two batches, so that Redis and other threads get their turn; and when nothing
# has changed.
_PAUSE, _IDLE = 0.005, 1.0
# How long a request waits for a first result, in seconds.
FIRST_RESULT = 0.4
_KEPT_MATCHES = 8

# A filter, and the name of a list.
_Asked = tuple[FailureFilter, str | None]


@dataclass(frozen=True, slots=True)
class ListedPlace:
    """Where a failure is: the name of its list, and its position."""

    list_name: str
    position: int


@dataclass(frozen=True, slots=True)
class Coverage:
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


@dataclass(slots=True)
class Matches:
    """The failures that a filter has, the newest of a list first, and their counts.

    Times are seconds since the epoch; 0 if none is known.
    """

    places: list[ListedPlace] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    oldest: int = 0
    newest: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.places)


class FailureIndex:
    """The index of the failures of a site; safe to use from several threads."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._first = threading.Event()
        self._looked_at = 0.0
        self._version = 0
        self._problem = ""
        self._forget()

    def _forget(self) -> None:
        self._groups = FailureGroups()
        self._lists: dict[str, ListIndex] = {}
        self._matches: dict[_Asked, tuple[int, Matches]] = {}

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
        self._first.wait(FIRST_RESULT)
        with self._groups.lock:
            lists = self._lists.values()
            return Coverage(
                sum(each.rows for each in lists),
                sum(each.wanted for each in lists),
                sum(each.length for each in lists),
                self._problem,
            )

    def groups(self, by: str = "group") -> list[GroupCount]:
        """Return the counts by class, exception or group, the largest first."""
        with self._groups.lock:
            return self._groups.summed(by)

    def matches(self, which: FailureFilter, list_name: str | None = None) -> Matches:
        """Return the failures that a filter without a text has, as far as is known.

        Those of all lists, or of one.
        """
        assert which.text is None
        asked = which, list_name
        with self._groups.lock:
            version, found = self._matches.get(asked, (-1, Matches()))
            if version != self._version:
                found = self._match(which, list_name)
                while len(self._matches) >= _KEPT_MATCHES:
                    del self._matches[next(iter(self._matches))]
                self._matches[asked] = self._version, found
            return found

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

    def _match(self, which: FailureFilter, list_name: str | None) -> Matches:
        has_group, has_origin = self._groups.fitting(which)
        groups, origins = Counter[int](), Counter[int]()
        found = Matches()
        for name, position, (group, origin, at, retried) in self._rows(list_name):
            if (
                has_group[group]
                and has_origin[origin]
                and which.is_retried in (None, bool(retried))
                and (which.since is None or (at and at >= which.since))
                and (which.until is None or (at and at < which.until))
            ):
                found.places.append(ListedPlace(name, position))
                groups[group] += 1
                origins[origin] += 1
                if at:
                    found.oldest = min(found.oldest or at, at)
                    found.newest = max(found.newest, at)
        found.classes = self._groups.classes(groups)
        found.queues = self._groups.queues(origins)
        return found

    def _rows(
        self, list_name: str | None
    ) -> Iterator[tuple[str, int, tuple[int, int, int, int]]]:
        for name, each in self._lists.items():
            if each.columns and list_name in (None, name):
                for position, row in each.columns.newest_first():
                    yield name, position, row

    def _run(self) -> None:
        """Build the index and follow the lists, in a thread of its own."""
        began = time.monotonic()
        try:
            while time.monotonic() - self._looked_at < FORGOTTEN_AFTER:
                is_busy = self._turn()
                if not is_busy or time.monotonic() - began > FIRST_RESULT / 2:
                    self._first.set()
                time.sleep(_PAUSE if is_busy else _IDLE)
        except Exception as error:
            logger.get().error("web_error", path="failure index", exc_info=error)
            self._problem = f"the index has failed: {type(error).__name__}"
        finally:
            with self._groups.lock:
                self._forget()
            self._first.set()

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
                self._version += 1
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
        is_busy = self._lists[name].turn()
        self._version += is_busy
        return is_busy


def failure_index() -> FailureIndex:
    """Return the index of the current application."""
    found = current_app.extensions.get(_NAME)
    if found is None:
        found = current_app.extensions.setdefault(_NAME, FailureIndex(site()))
    return cast("FailureIndex", found)


def to_retry(which: FailureFilter) -> FailureFilter:
    """Return the filter without the failures that a retry leaves out."""
    return replace(which, is_retried=False) if which.is_retried is None else which
