"""A page of the failures of a filter, from the index: fast, however few there are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_index import failure_index
from resqued.web.failure_matches import ListedPlace
from resqued.wire.keys import FAILED

# How many more are read than are shown, for those that have changed since.
_SPARE = 20


class FilteredPage(Struct, frozen=True):
    """Failures that a filter has, the newest first.

    `rank` is the place of the first one among `total`, from 1. `below` is the position
    below which the next page begins; None if this is the last one.
    """

    failures: list[Failure]
    rank: int
    total: int
    below: int | None


def filtered(
    which: FailureFilter,
    list_name: str = FAILED,
    *,
    below: int | None = None,
    count: int = 50,
) -> FilteredPage | None:
    """Return the newest failures of a filter below a position of a list.

    None if the index has not read or counted all of the list yet, or if the filter has
    a text: then the list has to be walked. Each failure is read, so none is shown that
    the filter does not have any more. Raises StoreError.
    """
    index = failure_index()
    coverage = index.look()
    if not coverage.is_exact or which.text is not None:
        return None
    matches = index.matches(which, list_name)
    if not matches.is_complete:
        return None
    positions: Sequence[int] = matches.positions.get(list_name, ())
    first = 0
    if below is not None:
        first = bisect_left(positions, 1 - below, key=lambda position: -position)
    found: list[Failure] = []
    end = first
    while len(found) < count and end < len(positions):
        part = positions[end : end + count - len(found) + _SPARE]
        places = [ListedPlace(list_name, position) for position in part]
        there = {each.position: each for each in index.read(places)}
        for position in part:
            if len(found) == count:
                break
            end += 1
            failure = there.get(position)
            if failure is not None and which.has(failure):
                found.append(failure)
    rest = positions[end - 1] if 0 < end < len(positions) else None
    return FilteredPage(found, first + 1, len(positions), rest)
