"""Queues: push, pop, peek and remove jobs.

Used by the client library and by commands. Workers take jobs in store/runs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter

from resqued.errors import PayloadError
from resqued.store.bulk import KEEP, REMOVE, BulkOperation, BulkProgress, last_of
from resqued.store.connection import Link, Word
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys

REMOVE_QUEUE = Script("remove_queue")
REMOVE_EMPTY_QUEUE = Script("remove_empty_queue")
MOVE_JOBS = Script("move_jobs")
PUT_FIRST = Script("put_first")

# Payloads in one round trip: many enough to save time, few enough for the memory.
BATCH = 1_000
# Bytes of a page where payloads are large. The first page is small, because the size
# of its payloads is not known.
PAGE_BYTES = 1 << 20
_FIRST_PAGE = 50


def means_pause(value: bytes | None) -> bool:
    """Return True if a value of the key pause-all-workers pauses workers.

    Spaces and case do not matter, as in Ruby Resque.
    """
    return (value or b"").strip().lower() == b"true"


class Queues:
    """The queues of one namespace. Each method raises StoreError if Redis fails."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def push(self, queue: str, text: str | bytes) -> None:
        """Add a payload at the tail: SADD and RPUSH in one write, as Ruby does."""
        keys = self._keys
        self._link.pipeline(
            [("SADD", keys.queues, queue), ("RPUSH", keys.queue(queue), text)]
        )

    def push_many(self, jobs: Iterable[tuple[str, str]]) -> int:
        """Add (queue, payload) pairs in batches; return how many there were."""
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
        """Take and return the payload at the head; None if the queue is empty."""
        raw: bytes | None = self._link.call("LPOP", self._keys.queue(queue))
        return raw

    def peek(self, queue: str, start: int, count: int) -> list[bytes]:
        """Return up to `count` payloads from index `start`, without taking them."""
        last = start + count - 1
        page: list[bytes] = self._link.call(
            "LRANGE", self._keys.queue(queue), start, last
        )
        return page

    def from_head(self, queue: str, most: int, room: int) -> Iterator[bytes]:
        """Yield up to `most` payloads from the head, of about `room` bytes in all.

        The payloads stay in the queue. They are read in pages, which are small where
        payloads are large. If jobs are taken meanwhile, the others move up, and some
        may be missed.
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
        """Return True if the key pause-all-workers pauses workers."""
        return means_pause(self._link.call("GET", self._keys.paused))

    def pause(self, queue: str) -> bool:
        """Have no worker of resqued take a job from a queue; False if it was paused.

        Running jobs continue. Ruby workers with resque-pause stop too, if a queue was
        ever paused for them; see `pauses_ruby`.
        """
        return self.pause_each([queue])[0]

    def pause_each(self, queues: Sequence[str]) -> list[bool]:
        """Pause queues as `pause` does; return for each whether it was not paused."""
        keys = self._keys
        commands: list[tuple[Word, ...]] = [
            ("SADD", keys.paused_queues, name) for name in queues
        ]
        if self.pauses_ruby(*queues):
            commands += [("SET", keys.ruby_pause(name), "true") for name in queues]
        return [bool(added) for added in self._link.pipeline(commands)[: len(queues)]]

    def resume(self, queue: str) -> bool:
        """Have workers take jobs from a queue again; False if it was not paused.

        Ruby workers with resque-pause take jobs again, too.
        """
        return self.resume_each([queue])[0]

    def resume_each(self, queues: Sequence[str]) -> list[bool]:
        """Resume queues as `resume` does; return for each whether it was paused."""
        keys = self._keys
        commands: list[tuple[Word, ...]] = [
            ("SREM", keys.paused_queues, name) for name in queues
        ]
        commands += [("DEL", keys.ruby_pause(name)) for name in queues]
        found = self._link.pipeline(commands)
        half = len(queues)
        return [any(both) for both in zip(found[:half], found[half:], strict=True)]

    def paused(self) -> list[str]:
        """Return the names of the paused queues, sorted by bytes."""
        (found,) = self._link.read_each([("SMEMBERS", self._keys.paused_queues)])
        return [raw.decode("utf-8", "surrogateescape") for raw in sorted(found or ())]

    def pauses(self) -> tuple[bool, frozenset[str]]:
        """Return if all workers are paused, and which queues are, in one round trip."""
        keys = self._keys
        every, names = self._link.read_each(
            [("GET", keys.paused), ("SMEMBERS", keys.paused_queues)]
        )
        decoded = (raw.decode("utf-8", "surrogateescape") for raw in names or ())
        return means_pause(every), frozenset(decoded)

    def pauses_ruby(self, *queues: str) -> bool:
        """Return True if resque-pause has a key here, for one of these or known queues.

        Otherwise Ruby workers continue with a queue that is paused.
        """
        names = dict.fromkeys([*queues, *self.names()])
        return bool(self._link.call("EXISTS", *map(self._keys.ruby_pause, names)))

    def pause_all(self) -> None:
        """Have no worker take a job, of any host and implementation."""
        self._link.call("SET", self._keys.paused, "true")

    def resume_all(self) -> None:
        """Have all workers take jobs again."""
        self._link.call("DEL", self._keys.paused)

    def size(self, queue: str) -> int:
        """Return how many jobs wait in a queue."""
        return int(self._link.call("LLEN", self._keys.queue(queue)))

    def names(self) -> list[str]:
        """Return the names of the known queues, sorted by bytes."""
        members = self._link.call("SMEMBERS", self._keys.queues)
        return [name.decode("utf-8", "surrogateescape") for name in sorted(members)]

    def sizes(self) -> dict[str, int]:
        """Return the length of every known queue by name, in two round trips.

        A queue whose key is no list has no job: 0.
        """
        names = self.names()
        lengths = self._link.read_each(
            [("LLEN", self._keys.queue(name)) for name in names]
        )
        return {name: n or 0 for name, n in zip(names, lengths, strict=True)}

    def remove(self, queue: str, *, task_id: str = "") -> int:
        """Remove a queue with its jobs; return how many jobs there were.

        For a task of the web front end that was done before, nothing is removed, and
        the number is that of then.
        """
        keys, name = self._keys, f"queue:{queue}"
        names = [keys.queues, keys.queue(queue), keys.bulk, keys.bulk_staged(name)]
        if task_id:
            names.append(keys.web_task(task_id))
        return int(REMOVE_QUEUE(self._link, names, (queue, name)))

    def move(
        self, queue: str, target: str, *, task_id: str, batch: int
    ) -> Iterator[tuple[int, int]]:
        """Move jobs behind those of another queue, for a task of the web front end.

        Moves as many as wait when the task first begins, the next one first. Yields how
        many the task has moved so far, and will in all, after each batch. A job is
        always in one of the queues. If the iterator is closed, the others stay, until
        the task continues.
        """
        keys = self._keys
        names = (keys.queue(queue), keys.queue(target), keys.queues)
        sizes = str(batch), str(self.size(queue)), str(PAGE_BYTES)
        left = 1
        while left:
            moved, total, left = MOVE_JOBS(
                self._link, (*names, keys.web_task(task_id)), (target, *sizes)
            )
            yield moved, total

    def remove_empty(self, queues: Iterable[str]) -> int:
        """Remove those of the queues that have no job; return how many were removed."""
        keys = self._keys
        calls = [
            (
                (keys.queues, keys.queue(name), keys.bulk_staged(f"queue:{name}")),
                (name,),
            )
            for name in queues
        ]
        return sum(REMOVE_EMPTY_QUEUE.each(self._link, calls))

    def lengths(self, queues: Sequence[str]) -> list[int | None]:
        """Return how many jobs wait in each queue; None for a key that is no list."""
        return self._link.read_each(
            [("LLEN", self._keys.queue(name)) for name in queues]
        )

    def heads(self, queues: Sequence[str]) -> list[bytes | None]:
        """Return the next payload of each queue; None for an empty one."""
        return self._link.read_each(
            [("LINDEX", self._keys.queue(name), 0) for name in queues]
        )

    def add_name(self, queue: str) -> bool:
        """Put the name of a queue into the set of known ones; False if it was there."""
        return bool(self._link.call("SADD", self._keys.queues, queue))

    def remove_one(self, queue: str, raw: bytes) -> bool:
        """Remove one job with this payload; return False if there is none any more."""
        return bool(self._link.call("LREM", self._keys.queue(queue), 1, raw))

    def put_first(self, queue: str, raw: bytes) -> bool:
        """Move one job with this payload to the head; return False if it has gone."""
        return bool(PUT_FIRST(self._link, (self._keys.queue(queue),), (raw,)))

    def dequeue(self, queue: str, text: str) -> int:
        """Remove the jobs whose payload is exactly this text; return how many."""
        return int(self._link.call("LREM", self._keys.queue(queue), 0, text))

    def dequeue_class(self, queue: str, class_name: str) -> int:
        """Remove the jobs of a class with any arguments; return how many."""
        return last_of(self.dequeue_steps(queue, class_name)).changed

    def dequeue_steps(self, queue: str, class_name: str) -> Generator[BulkProgress]:
        """Remove the jobs of a class, and yield the progress after each chunk.

        Jobs that are pushed meanwhile stay. If the iterator is closed, the jobs that
        were not looked at stay too.
        """
        is_of = _of_class(class_name)
        operation = BulkOperation(self._link, self._keys, self._keys.queue(queue))
        return operation.run(lambda raw: REMOVE if is_of(raw) else KEEP)


def _of_class(class_name: str) -> Callable[[bytes], bool]:
    """Return a function that returns True for payloads of a class."""
    # A payload of the class without an escape contains the name literally. So most
    # payloads of other classes need not be decoded.
    name = class_name.encode("utf-8", "surrogateescape")

    def is_of(raw: bytes) -> bool:
        if name not in raw and b"\\" not in raw:
            return False
        return _is_of(raw, class_name)

    return is_of


def _is_of(raw: bytes, class_name: str) -> bool:
    try:
        return payload.decode_job(raw).class_name == class_name
    except PayloadError:
        return False
