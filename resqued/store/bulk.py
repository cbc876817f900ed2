"""Bulk operations: judge every element of a long list, and remove or retry some.

The caller judges elements by their texts, in chunks, because the server must not decode
payloads. A script removes each judged chunk from one end of the list and moves the
elements that stay to a staging list; at the end the staging list replaces the list. So
each element is moved once, no command takes longer than one chunk needs, and each
element is always in exactly one list. The scripts describe how producers and workers
interact with this.

An operation whose caller has died is put back by the next one, or by a master.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from msgspec import Struct

from resqued.errors import StoreError
from resqued.store.connection import Link
from resqued.store.script import Script
from resqued.wire.keys import Keys

STEP = Script("bulk_step")
RESTORE = Script("bulk_restore")

# The most elements and bytes of a chunk.
CHUNK = 500
CHUNK_BYTES = 512 << 10
# The processor time of the server for which the size of a step is chosen, in
# microseconds: nobody else is served meanwhile.
STEP_TIME = 2_000
# The first chunk is small, because the size of its elements is not known.
FIRST_CHUNK = 100
# After this many seconds without a step, an operation counts as abandoned.
LEASE = 10.0
# How long to wait for another operation on the same list, in seconds: longer than an
# operation takes, and longer than the lease of an abandoned one.
PATIENCE = 60.0
_RECHECK = 0.05
# JSON's white space; each character encodes two bits of the mark.
_BLANKS = b" \t\r\n"
_MARK_LENGTH = 32

Side = Literal["head", "tail"]


class Decision(Struct, frozen=True):
    """The decision about one element: k stays, d is removed, r is retried.

    A retry replaces the element by `entry` and puts `job` on `queue`; x does the same
    and removes the element. `problem` is why an element that was to be retried stays;
    `is_done` is True if the same operation had retried it before it died.
    """

    code: Literal["k", "d", "r", "x"]
    entry: bytes = b""
    queue: str = ""
    job: str = ""
    problem: str = ""
    is_done: bool = False


KEEP = Decision("k")
DONE_BEFORE = Decision("k", is_done=True)
REMOVE = Decision("d")

Judge = Callable[[bytes], Decision]


class Bound(Protocol):
    """Where an operation from the head ends, if not with the last element."""

    def end(self, link: Link, key: str, near: int | None) -> tuple[int, bytes]:
        """Return how many elements come before the end now, and the last of them.

        `near` is how many there were a moment ago. May raise ResquedError.
        """


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """The progress of a bulk operation."""

    judged: int = 0
    """How many elements were looked at."""
    total: int = 0
    """How many there were at the start."""
    changed: int = 0
    """How many were removed or retried."""
    left_out: int = 0
    """How many were meant but cannot be retried; they stay as they are."""
    problem: str = ""
    """Why the first of those that were left out cannot be retried."""
    done_before: int = 0
    """How many the same operation had retried before it died."""

    def __add__(self, other: BulkProgress) -> BulkProgress:
        """Return the progress of this operation and of one on another list."""
        return BulkProgress(
            self.judged + other.judged,
            self.total + other.total,
            self.changed + other.changed,
            self.left_out + other.left_out,
            self.problem or other.problem,
            self.done_before + other.done_before,
        )


def last_of(steps: Iterator[BulkProgress]) -> BulkProgress:
    """Run all steps of an operation; return the last progress."""
    progress = BulkProgress()
    for each in steps:
        progress = each
    return progress


class BulkOperation:
    """One bulk operation on one list.

    `side` is the end at which it works. `tail` is for lists from whose head others take
    elements; the operation ends with the element at the head. `head` is for `failed`:
    its oldest entries are judged first. Iterate over `run()`, which may be closed
    early.
    """

    def __init__(self, link: Link, keys: Keys, key: str, side: Side = "tail") -> None:
        name = key.removeprefix(f"{keys.namespace}:")
        self._link = link
        self._side = side
        self._token = os.urandom(8).hex()
        bits = int(self._token, 16)
        self._mark = bytes(_BLANKS[bits >> 2 * i & 3] for i in range(_MARK_LENGTH))
        self._name = name
        self._key = key
        self._queues = keys.queues
        self._queue_key = keys.queue
        self._keys = (key, keys.bulk, keys.bulk_owner(name), keys.bulk_staged(name))
        self._bound: Bound | None = None
        # The last element before the end.
        self._last = b""
        self._most = CHUNK
        self._size = FIRST_CHUNK
        self._has_begun = False
        self._spent = 0
        self._give_up_at = time.monotonic() + PATIENCE
        self._progress = BulkProgress()

    def run(
        self, judge: Judge, *, bound: Bound | None = None, most: int = CHUNK
    ) -> Generator[BulkProgress]:
        """Judge each element, and yield the progress after each chunk.

        A step judges at most `most` elements. From the head, a `bound` may end the
        operation before the last element.
        Elements that are added after the start stay. If the iterator is closed, or the
        caller fails, staged elements are put back. Raises StoreError if Redis does not
        answer or refuses, or if another operation on the list does not end.
        """
        assert bound is None or self._side == "head"
        self._bound = bound
        self._most = min(most, CHUNK)
        self._size = min(self._most, FIRST_CHUNK)
        self._give_up_at = time.monotonic() + PATIENCE
        try:
            yield from self._steps(judge)
        except BaseException:
            with suppress(StoreError):
                self.restore()
            raise

    def _steps(self, judge: Judge) -> Iterator[BulkProgress]:
        chunk = self._begin()
        while True:
            decisions = [judge(element) for element in chunk]
            state, *rest = self._step(chunk, decisions)
            if state == b"busy":
                self._wait()
            if state == b"moved":
                chunk = self._find_end()
                continue
            if state in (b"left", b"lost", b"astray"):
                self.restore()
            if state not in (b"more", b"done"):
                chunk = self._begin()
                continue
            self._spent = rest[3] if state == b"more" else 0
            self._account(chunk, decisions, is_applied=bool(rest[0]), refused=rest[1])
            yield self._progress
            if state == b"done":
                return
            self._has_begun = True
            chunk = self._fitting(rest[2])
            if self._side == "head" and self._left() == 0:
                self.restore()
                return

    def _begin(self) -> list[bytes]:
        """Return the first chunk, from the start or after another operation."""
        total = int(self._link.call("LLEN", self._key))
        if self._bound:
            # What an operation before this one has staged is in front of the list.
            self.restore()
            total, self._last = self._bound.end(self._link, self._key, None)
        self._progress = replace(self._progress, judged=0, total=total)
        self._has_begun = False
        is_head = self._side == "head"
        first, last = (0, self._size - 1) if is_head else (-self._size, -1)
        chunk: list[bytes] = self._link.call("LRANGE", self._key, first, last)
        return chunk[:total] if is_head else chunk

    def _find_end(self) -> list[bytes]:
        """Return the next chunk, after others have moved the end."""
        assert self._bound is not None
        left, self._last = self._bound.end(self._link, self._key, self._left())
        self._progress = replace(self._progress, total=self._progress.judged + left)
        last = min(left, self._size) - 1
        found: list[bytes] = self._link.call("LRANGE", self._key, 0, last)
        return found if left else []

    def _fitting(self, chunk: list[bytes]) -> list[bytes]:
        """Return the part of a chunk that has the size chosen for the next step."""
        return chunk[: self._size] if self._side == "head" else chunk[-self._size :]

    def _left(self) -> int:
        return max(0, self._progress.total - self._progress.judged)

    def _step(self, chunk: list[bytes], decisions: list[Decision]) -> list[Any]:
        queues: dict[str, int] = {}
        retries: list[bytes | str] = []
        for decision in decisions:
            if decision.code in "rx":
                number = queues.setdefault(decision.queue, 6 + len(queues))
                retries += (decision.entry, str(number), decision.queue, decision.job)
        digest = hashlib.sha1(b"\0".join(chunk), usedforsecurity=False).hexdigest()
        most = self._size
        if self._side == "head":
            most = min(most, max(0, self._left() - len(chunk)))
        args: list[str | bytes] = [
            *self._args(),
            "1" if self._has_begun else "0",
            str(len(chunk)),
            digest,
            "".join(decision.code for decision in decisions),
            str(most),
            str(self._left()) if self._bound else "0",
            hashlib.sha1(self._last, usedforsecurity=False).hexdigest(),
            str(CHUNK_BYTES),
        ]
        keys = [*self._keys, self._queues, *map(self._queue_key, queues)]
        reply: list[Any] = STEP(self._link, keys, args + retries)
        return reply

    def _args(self) -> list[str | bytes]:
        lease = str(int(LEASE * 1000))
        return [self._name, self._token, lease, self._side, self._mark]

    def _account(
        self,
        chunk: list[bytes],
        decisions: list[Decision],
        *,
        is_applied: bool,
        refused: int,
    ) -> None:
        """Add a step to the progress, and choose the size of the next chunk."""
        if not is_applied:
            # Other clients take elements at this end; a smaller chunk is judged faster.
            self._size = max(1, len(chunk) // 2)
            return
        self._give_up_at = time.monotonic() + PATIENCE
        fits = CHUNK_BYTES * len(chunk) // (sum(map(len, chunk)) + 1)
        self._size = max(1, min(self._most, fits, self._next_size(len(chunk))))
        changed = sum(decision.code != "k" for decision in decisions) - refused
        problems = [decision.problem for decision in decisions if decision.problem]
        if refused:
            problems.append("the key of its queue is no list")
        done = self._progress
        self._progress = replace(
            done,
            judged=done.judged + len(chunk),
            changed=done.changed + changed,
            left_out=done.left_out + len(problems) + max(0, refused - 1),
            problem=done.problem or next(iter(problems), ""),
            done_before=done.done_before + sum(one.is_done for one in decisions),
        )

    def _next_size(self, size: int) -> int:
        """Return how many elements the next step may have, from the time of one."""
        if self._spent > STEP_TIME:
            return size * STEP_TIME // self._spent
        return 2 * size

    def _wait(self) -> None:
        if time.monotonic() > self._give_up_at:
            raise StoreError(
                f"another operation works on {self._key} and does not end; try later"
            )
        time.sleep(_RECHECK)

    def restore(self) -> bool:
        """Put back the staged elements; return False if no element was staged."""
        return any([*self.restore_steps()])

    def restore_steps(self, *, is_patient: bool = True) -> Iterator[bool]:
        """Put back the staged elements in chunks; yield True for each moved chunk.

        If another operation is running, wait for it, or stop if `is_patient` is False.
        """
        while True:
            lease = str(int(LEASE * 1000))
            most = str(CHUNK), str(CHUNK_BYTES)
            args = (self._name, self._token, lease, self._mark, *most)
            state, *moved = RESTORE(self._link, self._keys, args)
            if state == b"busy":
                if not is_patient:
                    return
                self._wait()
                continue
            yield bool(moved[0])
            if state == b"done":
                return


def recover(link: Link, keys: Keys) -> Iterator[str]:
    """Put back the staged elements of operations whose callers have died.

    Yields the name of a list after each chunk. Running operations are not touched.
    """
    for field in link.call("HKEYS", keys.bulk):
        name = field.decode("utf-8", "surrogateescape")
        operation = BulkOperation(link, keys, f"{keys.namespace}:{name}")
        for moved in operation.restore_steps(is_patient=False):
            if moved:
                yield name
