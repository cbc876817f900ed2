"""Which queues a worker tries for its next job, and in what order.

Used by a worker over its one connection. With up to MANY known queues the worker knows
all names and tries all that its list matches, at each job. With more it tries those
that the master's order names, because they have jobs; if those have no room in an
order, it reads the lengths of all queues itself, one page at each call, so that signals
do not wait.
Paused queues are left out of the names when these change, which costs a job nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

from resqued.errors import StoreError
from resqued.store.connection import SingleLink
from resqued.store.paused_queues import read_paused
from resqued.store.store_errors import is_wrong_type
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList

# As in reserve.lua: with more names than this they are not compared at each job.
MANY = 100
# How long the names of queues that have jobs are used, in seconds: a job on an earlier
# queue of the list waits no longer than this and the running job.
FRESH = 1.0
# How many names are read, and how many lengths, at one call.
_PAGE = 500

# The argument of reserve.lua that describes the queues.
_ALL, _SAME_NAMES, _FOUND = "0", "1", "2"


class QueueChoice:
    """The queues that one worker tries.

    `names` are those to try now, in order. `looks` is True for a worker that must know
    that all queues are empty before it leaves (burst).
    """

    def __init__(
        self, link: SingleLink, keys: Keys, queues: QueueList, *, looks: bool = False
    ) -> None:
        self._link = link
        self._keys = keys
        self._list = queues
        self._looks = looks
        self._is_many = False
        self._fresh_until = 0.0
        self._search: Iterator[tuple[str, ...] | None] | None = None
        # The paused queues; None if they must be read before the next job.
        self._paused: Collection[str] | None = ()
        # What to try if no queue were paused.
        self._matched: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()
        self.knowledge: tuple[str, ...] = ()
        self.know(())

    @property
    def shown(self) -> tuple[str, ...]:
        """The queues for people: all that the list matches, or the list itself."""
        return self._list.entries if self._is_many else self._matched

    def pause(self, paused: Collection[str] | None) -> bool:
        """Leave out these queues; return True if `names` changes.

        None: leave out all, until the paused ones were read.
        """
        self._paused = paused if paused is None else frozenset(paused)
        before = self.names
        self._leave_out_paused()
        return self.names != before

    def _leave_out_paused(self) -> None:
        paused, self.names = self._paused, self._matched
        if paused is None:
            self.names = ()
        elif paused:
            self.names = tuple(name for name in self._matched if name not in paused)

    def know(self, known: Collection[str]) -> None:
        """Use the names of all known queues, which are at most MANY."""
        self._is_many, self._search = False, None
        self._matched = self._list.match(known)
        self._leave_out_paused()
        self.knowledge = (_SAME_NAMES, *known) if self._list.is_dynamic else (_ALL,)

    def know_many(self) -> None:
        """Note that more than MANY queues are known."""
        self._is_many, self.knowledge = True, (_FOUND,)
        self._try((), 0.0)

    def hint(self, names: Sequence[str] | None) -> bool:
        """Use these names of queues that have jobs; return True if `names` changes.

        None: the worker reads the lengths of all queues itself.
        """
        if not self._is_many:
            return False
        if names is None:
            self._search = self._search or self._look()
            return False
        return self._try(self._list.match(names), time.monotonic())

    def _try(self, names: tuple[str, ...], now: float) -> bool:
        self._fresh_until, self._search = now + FRESH, None
        before, self._matched = self.names, names[:MANY]
        self._leave_out_paused()
        return self.names != before

    def expire(self) -> bool:
        """Forget names that are too old; return True if `names` changes."""
        is_old = self._is_many and bool(self.names)
        return is_old and time.monotonic() >= self._fresh_until and self._try((), 0.0)

    def look_further(self) -> bool | None:
        """Read a page of names and lengths, if this worker searches for jobs itself.

        True: jobs were found, or the paused queues were read, and `names` has changed.
        False: call this again. None: the worker does not search, or a complete search
        found no job. Raises StoreError.
        """
        if self._paused is None:
            self.pause(read_paused(self._link, self._keys))
            return True
        if self._search is None:
            if not (self._is_many and self._looks):
                return None
            self._search = self._look()
        search, self._search = self._search, None
        found = next(search, ())
        if found is None:
            self._search = search
            return False
        return True if found and self.hint(found) else None

    def _look(self) -> Iterator[tuple[str, ...] | None]:
        """Yield None after each page, and at last the queues that have jobs."""
        cursor: bytes | int = 0
        full: set[str] = set()
        while True:
            try:
                cursor, page = self._link.call(
                    "SSCAN", self._keys.queues, cursor, "COUNT", _PAGE
                )
            except StoreError as error:
                if not is_wrong_type(error):
                    raise
                cursor, page = 0, []  # the master logs it
            decoded = (name.decode("utf-8", "surrogateescape") for name in page)
            names = [name for name in decoded if self._list.serves(name)]
            lengths = self._link.read_each(
                [("LLEN", self._keys.queue(name)) for name in names]
            )
            full |= {n for n, length in zip(names, lengths, strict=True) if length}
            if int(cursor) == 0:
                yield self._list.match(full)
                return
            yield None
