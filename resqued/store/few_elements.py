"""Changes few elements of a long list of failures one by one, where they are.

A bulk operation moves each element of the list, whatever it changes, and other readers
see a shorter list meanwhile. So up to MOST elements are changed by one script each,
unless they are so deep in the list that moving it is cheaper. A script finds its
element by the content; the index is a hint. A bulk operation does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

from msgspec import Struct, field

from resqued.store.bulk import (
    CHUNK,
    FIRST_CHUNK,
    Bound,
    BulkOperation,
    BulkProgress,
    Decision,
    Judge,
    Side,
)
from resqued.store.connection import Link
from resqued.store.script import Script
from resqued.store.store_errors import NotPrimaryError, RefusedError, is_wrong_type
from resqued.wire.keys import Keys

RETRY = Script("retry")
RETRY_REMOVE = Script("retry_remove")

# The most elements that are changed one by one, and their bytes in memory.
MOST, ROOM = 1_000, 8 << 20
# The bytes of a page that is read, and how many elements it has at most.
_PAGE_BYTES, _PAGE = 1 << 20, 1_000
# After so many elements it is judged if there will be too many.
_PROBE, _FACTOR = 5_000, 4
# Seconds that the server needs to pass one element on the way to another: to one that
# it replaces, and to one that it removes, for which it compares each. Measured with
# entries of 1.3 KB. And how many times as long it is left to others.
_PASSING, _COMPARING, _REST = 3e-9, 120e-9, 9
# Seconds per element of a bulk operation, which is chosen where it is cheaper; what
# costs less than so many seconds in all is not.
_MOVING, _CHEAP = 12e-6, 0.1
# A shorter rest is not worth a system call.
_LEAST_REST = 0.005
# How many elements are changed between two reports of the progress.
_STEP = 50


class _Chosen(Struct, frozen=True):
    index: int
    element: bytes
    decision: Decision


class _Found(Struct):
    """The chosen elements, the last one first, and what was left out."""

    progress: BulkProgress
    chosen: list[_Chosen] = field(default_factory=list)
    size: int = 0
    cost: float = 0.0
    refused: int = 0

    def add(self, index: int, element: bytes, decision: Decision) -> None:
        if decision.code != "k":
            self.chosen.append(_Chosen(index, element, decision))
            self.size += len(element)
            self.cost += _cost(decision, index, self.progress.total)
        elif decision.problem:
            self.progress = _left_out(self.progress, decision.problem)
        elif decision.is_done:
            before = self.progress.done_before
            self.progress = replace(self.progress, done_before=before + 1)

    @property
    def are_many(self) -> bool:
        done = self.progress
        if len(self.chosen) > MOST or self.size > ROOM:
            return True
        if self.cost > max(_CHEAP, _MOVING * done.total):
            return True
        expected = len(self.chosen) * done.total
        return done.judged >= _PROBE and expected > _FACTOR * MOST * done.judged


class ListChange:
    """One change of a list of failures: few elements one by one, many in bulk."""

    def __init__(self, link: Link, keys: Keys, key: str, side: Side) -> None:
        self._link = link
        self._keys = keys
        self._key = key
        self._side = side
        self._name = key.removeprefix(f"{keys.namespace}:")
        self._rest = 0.0

    def run(
        self, judge: Judge, *, bound: Bound | None = None, most: int = CHUNK
    ) -> Generator[BulkProgress]:
        """Judge each element, change what has to be, and yield the progress in steps.

        A step changes at most `most` elements. From the head, a `bound` may end the
        change before the last element; elements that are added meanwhile stay as they
        are. If the iterator is closed, the other elements stay too. Raises StoreError.
        """
        changed = 0
        found = yield from self._find(judge, bound)
        if found is not None:
            for progress in self._change(found, min(most, _STEP)):
                changed = progress.changed
                yield progress
            if changed + found.refused == len(found.chosen):
                return
        # Too many; or some are gone, or in the hands of a bulk operation of another.
        before = BulkProgress(changed=changed)
        operation = BulkOperation(self._link, self._keys, self._key, self._side)
        with closing(operation.run(judge, bound=bound, most=most)) as steps:
            for step in steps:
                # What was changed a moment ago may be judged as done before.
                again = min(changed, step.done_before)
                yield replace(before + step, done_before=step.done_before - again)

    def _find(
        self, judge: Judge, bound: Bound | None
    ) -> Generator[BulkProgress, None, _Found | None]:
        """Return the elements to change; None if they are too many, or if they move."""
        if self._link.call("HEXISTS", self._keys.bulk, self._name):
            return None  # Another operation has a part of the list in hand.
        if bound is not None:
            end, last = bound.end(self._link, self._key, None)
        else:
            end, last = int(self._link.call("LLEN", self._key)), None
        found = _Found(BulkProgress(total=end))
        for start, page in self._pages_before(end, last):
            if page is None:
                return None
            for index in reversed(range(len(page))):
                found.add(start + index, page[index], judge(page[index]))
            judged = end - start
            found.progress = replace(found.progress, judged=judged)
            if found.are_many:
                return None
            yield replace(found.progress, changed=0)
        return found

    def _pages_before(
        self, end: int, last: bytes | None
    ) -> Iterator[tuple[int, list[bytes] | None]]:
        """Yield the elements before an index, in pages from the end, with their start.

        `last` is the one right before the index, if known. A page is smaller where the
        elements are large. It is None if others have removed elements meanwhile: then
        those that came later may stand in the place of those that were seen.
        """
        count, known = FIRST_CHUNK, 0
        while end > 0:
            start = max(0, end - count)
            # With the first element of the page before, which must be there still.
            page = self._link.call("LRANGE", self._key, start, end - 1 + known)
            if last is not None and page[-1:] != [last]:
                yield start, None
                return
            page = page[: len(page) - known]
            yield start, page
            if not page:
                return
            size = sum(map(len, page)) + 1
            count = max(1, min(_PAGE, _PAGE_BYTES * len(page) // size))
            end, last, known = start, page[0], 1

    def _change(self, found: _Found, most: int) -> Iterator[BulkProgress]:
        """Change the elements, the first one of the list first.

        A problem of one element, such as a queue whose key is no list, is counted.
        """
        done, removed, length = found.progress, 0, found.progress.total
        for number, each in enumerate(reversed(found.chosen), 1):
            index = each.index - removed
            try:
                is_changed = self._apply(each, index, length - removed)
            except NotPrimaryError:
                raise
            except RefusedError as error:
                if not is_wrong_type(error):
                    raise
                done = _left_out(done, "the key of its queue is no list")
                found.refused += 1
            else:
                done = replace(done, changed=done.changed + is_changed)
                removed += is_changed and each.decision.code != "r"
            self._pace(_cost(each.decision, index, length - removed))
            if number % most == 0:
                yield done
        yield done

    def _apply(self, chosen: _Chosen, index: int, length: int) -> bool:
        """Change one element; return False if it is not in the list any more."""
        decision, element = chosen.decision, chosen.element
        if decision.code == "d":
            # From the nearer end, because each element that is passed is compared.
            count = 1 if 2 * index < length else -1
            return bool(self._link.call("LREM", self._key, count, element))
        keys = self._keys
        touched = self._key, keys.queues, keys.queue(decision.queue)
        rest = decision.queue, decision.job, str(index)
        if decision.code == "x":
            return bool(RETRY_REMOVE(self._link, touched, (element, *rest)))
        return bool(RETRY(self._link, touched, (element, decision.entry, *rest)))

    def _pace(self, cost: float) -> None:
        """Leave the server to others, nine times as long as a change has taken it."""
        self._rest += _REST * cost
        if self._rest >= _LEAST_REST:
            time.sleep(self._rest)
            self._rest = 0.0


def _cost(decision: Decision, index: int, length: int) -> float:
    """Return about how many seconds a change takes the server, by its place."""
    passed = max(0, min(index, length - index))
    return passed * (_PASSING if decision.code == "r" else _COMPARING)


def _left_out(progress: BulkProgress, problem: str) -> BulkProgress:
    return replace(
        progress,
        left_out=progress.left_out + 1,
        problem=progress.problem or problem,
    )
