"""One list of failures, read by position, as pages show it.

A position counts from the head, where the oldest failure stands; core/list_places.py
says what happens when the list moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from resqued.core import list_places
from resqued.core.list_places import Place, Span
from resqued.errors import ResquedError
from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.store.script import Script
from resqued.wire.keys import Keys, prefix_of

CLEAR_SEEN = Script("clear_seen")
# How many failures may have come since, when a list is cleared up to one.
_MOST_NEWER = 5_000
# How many a filter or a search by id looks at in one go, and in one command.
LOOK = 10_000
_CHUNK = 200
_REFUSALS = {
    -1: "the list has changed since: look at it again",
    -2: "a bulk operation works on the list: try again when it has ended",
    -3: f"more than {_MOST_NEWER} failures have come since: look at the list again",
}


class FailurePage(Struct, frozen=True):
    """A page of failures, the newest first.

    With a filter, `span` has the positions that were looked at, and `failures` those
    that match; `is_partial` is True if the look ended before the page was full.
    """

    failures: Sequence[Failure]
    span: Span
    # The places of the newest and the oldest element looked at; None if there is none.
    first: Place | None
    last: Place | None
    is_partial: bool = False
    # With a filter, if all that match are known: the rank of the first one shown, from
    # 1, and how many match.
    rank: int = 0
    matches: int | None = None

    @property
    def has_older(self) -> bool:
        """Whether there may be older ones."""
        if self.matches is not None:
            return self.rank + len(self.failures) <= self.matches
        return not self.span.is_oldest


def place_of(failure: Failure) -> Place:
    """Return the place of a failure that was read by position."""
    return Place(failure.position, failure.id)


class FailureList:
    """One list of failures by its name, such as `failed`.

    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys, name: str) -> None:
        self.name = name
        self._link = link
        self._keys = keys
        self._key = f"{prefix_of(keys)}{name}"

    def length(self) -> int:
        """Return the number of failures."""
        return int(self._link.call("LLEN", self._key))

    def is_busy(self) -> bool:
        """Return True while a bulk operation works on the list, which is shorter then.

        Also if the operation was left unfinished: the next one puts all back.
        """
        return bool(self._link.call("HEXISTS", self._keys.bulk, self.name))

    def between(self, start: int, end: int) -> list[Failure]:
        """Return the failures at the positions [start, end), the oldest first."""
        if start >= end:
            return []
        found = self._link.call("LRANGE", self._key, start, end - 1)
        return [Failure(entry, start + i, self.name) for i, entry in enumerate(found)]

    def locate(self, place: Place) -> Failure | None:
        """Return the failure of a place, there or a little below; None if it is gone.

        The digest of the place has 12 digits or more.
        """
        at_once = self.between(place.position, place.position + 1)
        if at_once and at_once[0].digest.startswith(place.digest):
            return at_once[0]
        start, end = list_places.window_of(place, self.length())
        found = self.between(start, end)
        position = list_places.locate(place, start, [each.digest for each in found])
        return None if position is None else found[position - start]

    def newest(self, count: int) -> FailurePage:
        """Return the page of the newest failures."""
        return self._page(list_places.newest_span(self.length(), count))

    def oldest(self, count: int) -> FailurePage:
        """Return the page of the oldest failures."""
        return self._page(list_places.oldest_span(self.length(), count))

    def before(self, place: Place, count: int) -> FailurePage:
        """Return the page of the failures that are older than that of a place."""
        found = self.locate(place)
        position = found.position if found else None
        return self._page(
            list_places.span_before(place, position, self.length(), count)
        )

    def after(self, place: Place, count: int) -> FailurePage:
        """Return the page of the failures that are newer than that of a place."""
        found = self.locate(place)
        position = found.position if found else None
        return self._page(list_places.span_after(place, position, self.length(), count))

    def until(self, moment: float, count: int) -> FailurePage:
        """Return the page that begins with the newest failure not later than a time.

        `moment` is in seconds since the epoch.
        """
        end, total = self.end_at(moment), self.length()
        return self._page(Span(max(0, end - count), end, max(total, end)))

    def end_at(self, moment: float) -> int:
        """Return the position after the newest failure that is not later than a time.

        `moment` is in seconds since the epoch.
        """
        return list_places.end_at_time(self.length(), moment, self._time_at)

    def _time_at(self, position: int) -> float | None:
        found = self.between(position, position + 1)
        at = found[0].failed_at if found else None
        return at.timestamp() if at else None

    def _page(self, span: Span) -> FailurePage:
        found = self.between(span.start, span.end)[::-1]
        return self._of(found, found, span)

    def _of(
        self, shown: Sequence[Failure], looked_at: Sequence[Failure], span: Span
    ) -> FailurePage:
        places = [place_of(each) for each in (*looked_at[:1], *looked_at[-1:])]
        first, last = places if places else (None, None)
        return FailurePage(shown, span, first, last)

    def matching(
        self,
        which: FailureFilter,
        count: int,
        *,
        place: Place | None = None,
        end: int | None = None,
    ) -> FailurePage:
        """Return the failures that a filter has, towards the oldest.

        Begins below a place, or below the position `end`, or with the newest failure.
        Looks at LOOK failures at most; the page says how far it came.
        """
        total = self.length()
        found = self.locate(place) if place else None
        if place:
            end = found.position if found else place.position
        end = total if end is None else min(end, total)
        hits: list[Failure] = []
        seen: list[Failure] = []
        looked_at = 0
        for failure in self.downwards(end):
            seen = [*seen[:1], failure]
            looked_at += 1
            if which.has(failure):
                hits.append(failure)
            if len(hits) == count or looked_at == LOOK:
                break
        has_changed = place is not None and found is None
        span = Span(end - looked_at, end, total, has_changed)
        page = self._of(hits, seen, span)
        is_partial = looked_at == LOOK and len(hits) < count and not span.is_oldest
        return FailurePage(page.failures, span, page.first, page.last, is_partial)

    def downwards(self, end: int) -> Iterator[Failure]:
        """Yield the failures below a position, the newest first."""
        while end > 0:
            start = max(0, end - _CHUNK)
            yield from reversed(self.between(start, end))
            end = start

    def clear_seen(self, newest: Failure) -> int:
        """Remove a failure and all before it; return how many there were.

        Those that came later stay. Raises ResquedError, and removes nothing, if the
        failure does not stand at its position any more, if a bulk operation works on
        the list, or if more than 5,000 failures came later.
        """
        keys = (self._key, self._keys.bulk)
        args = (self.name, newest.entry, str(newest.position), str(_MOST_NEWER))
        removed = int(CLEAR_SEEN(self._link, keys, args))
        if removed in _REFUSALS:
            raise ResquedError(_REFUSALS[removed])
        return removed
