"""Places in a list that grows at its tail and loses elements anywhere.

A position counts from the head, so an append shifts no element; the removal of an older
one shifts it down. A place is a position and a digest of what stood there, so that a
reader notices the shift. Pages show the newest element first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

# How many positions below its own an element is looked for.
WINDOW = 1_000
_PAGE_FORM = re.compile(r"(\d{1,12})\.([0-9a-f]{12,24})", re.ASCII)
_FORM_FORM = re.compile(r"([0-9a-f]{12,24})@(\d{1,12})", re.ASCII)


class Place(Struct, frozen=True):
    """A position, and the first hex digits of the digest of what stood there."""

    position: int
    digest: str

    def __str__(self) -> str:
        """Return the place as URLs have it: <position>.<digest>."""
        return f"{self.position}.{self.digest}"


def read_place(text: str) -> Place | None:
    """Return the place that `<position>.<digest>` or `<digest>@<position>` names."""
    if found := _PAGE_FORM.fullmatch(text):
        return Place(int(found[1]), found[2])
    if found := _FORM_FORM.fullmatch(text):
        return Place(int(found[2]), found[1])
    return None


def window_of(place: Place, total: int) -> tuple[int, int]:
    """Return the positions, [start, end), where the element of a place may be now."""
    end = min(place.position + 1, total)
    return max(0, end - WINDOW - 1), end


def locate(place: Place, start: int, digests: Sequence[str]) -> int | None:
    """Return the position at which the element of a place is now; None if at none.

    `digests` are those of the elements from `start` on, up to the place at most. Of
    several equal elements the highest one counts: it has moved least.
    """
    for offset in range(len(digests) - 1, -1, -1):
        if digests[offset].startswith(place.digest):
            return start + offset
    return None


class Span(Struct, frozen=True):
    """The positions [start, end) of a page, of `total` elements.

    `has_changed` is True if the element that the page was to begin after is gone: the
    page then may show again what the one before it has shown, but leaves nothing out.
    """

    start: int
    end: int
    total: int
    has_changed: bool = False

    @property
    def first_rank(self) -> int:
        """The rank of the first element shown: 1 is the newest of all."""
        return self.total - self.end + 1

    @property
    def last_rank(self) -> int:
        """The rank of the last element shown."""
        return self.total - self.start

    @property
    def is_newest(self) -> bool:
        """Whether no element is newer than those of the page."""
        return self.end >= self.total

    @property
    def is_oldest(self) -> bool:
        """Whether no element is older than those of the page."""
        return self.start <= 0


def newest_span(total: int, count: int) -> Span:
    """Return the page of the newest elements."""
    return Span(max(0, total - count), total, total)


def oldest_span(total: int, count: int) -> Span:
    """Return the page of the oldest elements."""
    return Span(0, min(count, total), total)


def span_before(place: Place, found: int | None, total: int, count: int) -> Span:
    """Return the page of what is older than the element of a place.

    `found` is its present position, or None. Then the page begins at the old position:
    what is older has moved down if at all, so it comes on this page or a later one.
    """
    end = min(place.position if found is None else found, total)
    return Span(max(0, end - count), end, total, found is None)


def span_after(place: Place, found: int | None, total: int, count: int) -> Span:
    """Return the page of what is newer than the element of a place."""
    start = min(place.position if found is None else found + 1, total)
    if start + count >= total:
        span = newest_span(total, count)
        return Span(span.start, span.end, total, found is None)
    return Span(start, start + count, total, found is None)


def end_at_time(
    total: int, until: float, time_at: Callable[[int], float | None]
) -> int:
    """Return the position after the last element that is not later than a time.

    `time_at` returns the time of an element by its position, or None if it has none;
    such an element counts as the one before it. Times rise with positions, apart from
    what clocks of several hosts differ. About log2(total) elements are asked for.
    """
    low, high = 0, total
    while low < high:
        middle = asked = (low + high) // 2
        found = time_at(asked)
        while found is None and asked > low:
            asked -= 1
            found = time_at(asked)
        if found is None or found <= until:
            low = middle + 1
        else:
            high = asked
    return low
