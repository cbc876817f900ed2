"""Queues: put, take, look, remove. What a library's user does, not a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter

from resqued.errors import PayloadError
from resqued.store.connection import Link, Word
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys

REMOVE_QUEUE = Script("remove_queue")
DEQUEUE = Script("dequeue")

# Enough to make round trips cheap, few enough to hold in memory at both ends.
BATCH = 1_000
# Bytes of a page, where payloads are large; what the first ones are is not known.
PAGE_BYTES = 1 << 20
_FIRST_PAGE = 50


def means_pause(value: bytes | None) -> bool:
    """Say whether a value of the key pause-all-workers pauses them."""
    return (value or b"").strip().lower() == b"true"


class Queues:
    """The lists of jobs."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def push(self, queue: str, text: str | bytes) -> None:
        """Put one payload at the tail: SADD and RPUSH in one write, as Ruby does."""
        keys = self._keys
        self._link.pipeline(
            [("SADD", keys.queues, queue), ("RPUSH", keys.queue(queue), text)]
        )

    def push_many(self, jobs: Iterable[tuple[str, str]]) -> int:
        """Put (queue, payload) pairs in batches; answer how many."""
        keys, total = self._keys, 0
        stream = iter(jobs)
        while batch := list(islice(stream, BATCH)):
            commands: list[tuple[Word, ...]] = []
            for queue, group in groupby(batch, key=itemgetter(0)):
                texts = [text for _, text in group]
                commands.append(("SADD", keys.queues, queue))
                commands.append(("RPUSH", keys.queue(queue), *texts))
            self._link.pipeline(commands)
            total += len(batch)
        return total

    def pop(self, queue: str) -> bytes | None:
        """Take the payload at the head, or None."""
        raw: bytes | None = self._link.call("LPOP", self._keys.queue(queue))
        return raw

    def peek(self, queue: str, start: int, count: int) -> list[bytes]:
        """Return up to count payloads from position start, without taking them."""
        last = start + count - 1
        found: list[bytes] = self._link.call(
            "LRANGE", self._keys.queue(queue), start, last
        )
        return found

    def from_head(self, queue: str, most: int, room: int) -> Iterator[bytes]:
        """Yield up to most payloads, of about room bytes, the next one first.

        None is taken. Pages are small where payloads are large. What is taken
        meanwhile moves the others up, so that some may be missed.
        """
        start, count = 0, _FIRST_PAGE
        while start < most and room > 0:
            count = min(count, most - start)
            page = self.peek(queue, start, count)
            yield from page
            if len(page) < count:
                return
            start += count
            size = sum(map(len, page))
            room -= size
            count = max(1, min(BATCH, PAGE_BYTES * count // (size + 1)))

    def are_paused(self) -> bool:
        """Say whether the key pauses all workers."""
        return means_pause(self._link.call("GET", self._keys.paused))

    def size(self, queue: str) -> int:
        """Return how many jobs wait."""
        return int(self._link.call("LLEN", self._keys.queue(queue)))

    def names(self) -> list[str]:
        """Return the known queues, sorted by bytes."""
        members = self._link.call("SMEMBERS", self._keys.queues)
        return [name.decode("utf-8", "surrogateescape") for name in sorted(members)]

    def sizes(self) -> dict[str, int]:
        """Return every known queue with its length, in one round trip more."""
        names = self.names()
        lengths = self._link.pipeline(
            [("LLEN", self._keys.queue(name)) for name in names]
        )
        return dict(zip(names, lengths, strict=True))

    def remove(self, queue: str) -> int:
        """Remove a queue with its jobs; answer how many there were."""
        keys = self._keys
        return int(REMOVE_QUEUE(self._link, (keys.queues, keys.queue(queue)), (queue,)))

    def dequeue(self, queue: str, text: str) -> int:
        """Remove the jobs that are these very bytes; answer how many."""
        return int(self._link.call("LREM", self._keys.queue(queue), 0, text))

    def dequeue_class(self, queue: str, class_name: str) -> int:
        """Remove the jobs of a class, whatever their arguments; answer how many.

        Walks the queue in batches from the tail: pushes and pops meanwhile shift
        nothing that has not been seen.
        """
        removed = 0
        for batch in self._from_tail(queue):
            doomed = [raw for raw in set(batch) if _is_of(raw, class_name)]
            if doomed:
                removed += int(DEQUEUE(self._link, (self._keys.queue(queue),), doomed))
        return removed

    def _from_tail(self, queue: str) -> Iterator[list[bytes]]:
        """Yield the queue's payloads, newest batch first."""
        end = self.size(queue)
        while end > 0:
            start = max(0, end - BATCH)
            yield self.peek(queue, start, end - start)
            end = start


def _is_of(raw: bytes, class_name: str) -> bool:
    try:
        return payload.decode_job(raw).class_name == class_name
    except PayloadError:
        return False
