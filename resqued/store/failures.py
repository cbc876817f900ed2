"""The lists of failures: reads them in pages, and changes entries by their content.

Entries are never changed by index: while a person looks at a page, others append and
remove entries, and the index then belongs to another failure.
"""

from __future__ import annotations

import time
from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing
from functools import partial
from heapq import merge
from itertools import islice
from math import ceil, inf
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from resqued.errors import PayloadError
from resqued.store.bulk import (
    CHUNK,
    DONE_BEFORE,
    KEEP,
    REMOVE,
    BulkProgress,
    Decision,
    Side,
    last_of,
)
from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.store.few_elements import RETRY, RETRY_REMOVE, ListChange
from resqued.store.script import Script
from resqued.store.seen_bound import SeenBound
from resqued.wire import payload
from resqued.wire.keys import FAILED, Keys, prefix_of

if TYPE_CHECKING:
    from resqued.store.failure_list import FailureList

CLEAR = Script("clear")
PAGE = 200

# What can be done to all failures that were seen.
SeenAction = Literal["retry", "retry_remove", "remove"]


class Failures:
    """The lists of failures of one Redis and namespace; the last entry is the newest.

    They are `failed` and, if a worker uses the back end `redis_multi_queue`, a list
    `<queue>_failed` for each queue. All of them together are read and changed, with any
    configuration of the workers.
    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def lists(self, queue: str | None = None) -> list[str]:
        """Return the names of all lists, or of those that may have a queue's failures.

        The first one is `failed`; the others are sorted.
        """
        (found,) = self._link.read_each([("SMEMBERS", self._keys.failed_queues)])
        names = {name.decode("utf-8", "surrogateescape") for name in found or ()}
        if queue is not None:
            own = self._keys.failed_of(queue)
            names = {name for name in names if self._key(name) == own}
        return [FAILED, *sorted(names - {FAILED})]

    def _key(self, list_name: str) -> str:
        return f"{prefix_of(self._keys)}{list_name}"

    def _lengths(self, name: str | None = None) -> dict[str, int]:
        """Return how many failures each list has, or only the one of that name."""
        names = self.lists() if name is None else [name]
        keys = [self._key(each) for each in names]
        found = self._link.pipeline([("LLEN", key) for key in keys])
        return dict(zip(names, found, strict=True))

    def count(self, list_name: str | None = None) -> int:
        """Return the number of failures, in all lists or in one."""
        return sum(self._lengths(list_name).values())

    def counts(self) -> dict[str, int]:
        """Return the number of failures by the name of the list."""
        return self._lengths()

    def in_list(self, name: str = FAILED) -> FailureList:
        """Return one list, to read it by position."""
        from resqued.store.failure_list import FailureList

        return FailureList(self._link, self._keys, name)

    def page(
        self, start: int = 0, count: int = 20, list_name: str | None = None
    ) -> list[Failure]:
        """Return up to `count` failures, newest first, without the `start` newest.

        Those of all lists, in the order of `failed_at`, or of one list.
        """
        if count <= 0:
            return []
        full = [name for name, length in self._lengths(list_name).items() if length]
        if len(full) > 1:
            return list(islice(self.newest_first(), start, start + count))
        key = self._key(full[0] if full else FAILED)
        found = self._link.call("LRANGE", key, -start - count, -start - 1)
        name = full[0] if full else FAILED
        return [Failure(entry, list_name=name) for entry in reversed(found)]

    def oldest_first(self) -> Iterator[Failure]:
        """Yield the present failures, the oldest first.

        They may be retried meanwhile; to remove them, walk from the newest.
        """
        lengths = self._lengths().items()
        yield from in_order([self._upwards(*each) for each in lengths], newest=False)

    def newest_first(self, queue: str | None = None) -> Iterator[Failure]:
        """Yield the present failures, the newest first.

        With `queue`, lists of other queues are left out. They may be removed
        meanwhile. Positions count from the head, so that neither the removal of a
        yielded failure nor an append shifts the others.
        """
        names = self.lists(queue)
        lengths = self._lengths().items()
        lists = [self._downwards(*each) for each in lengths if each[0] in names]
        yield from in_order(lists, newest=True)

    def _upwards(self, name: str, end: int) -> Iterator[Failure]:
        for start in range(0, end, PAGE):
            yield from self._between(name, start, min(start + PAGE, end))

    def _downwards(self, name: str, end: int) -> Iterator[Failure]:
        while end > 0:
            start = max(0, end - PAGE)
            yield from reversed(self._between(name, start, end))
            end = start

    def _between(self, name: str, start: int, end: int) -> list[Failure]:
        key = self._key(name)
        found = self._link.call("LRANGE", key, start, end - 1)
        return [Failure(entry, start + i, name) for i, entry in enumerate(found)]

    def find(self, failure_id: str) -> Failure | None:
        """Return the newest failure whose id begins with `failure_id`, or None.

        Reads the lists from their ends until it finds one.
        """
        if not failure_id:
            return None
        return next(
            (f for f in self.newest_first() if f.id.startswith(failure_id)), None
        )

    def retry(
        self, failure: Failure, *, queue: str | None = None, removes: bool = False
    ) -> bool:
        """Enqueue the job again, and mark the failure as retried; return True.

        With `queue`, the job goes there and not to the queue that it was taken from.
        With `removes`, the failure is removed in the same step; otherwise it stays.

        Returns False if the failure is not in its list any more, or was retried since
        it was read: of two callers who retry one failure, one succeeds. Raises
        PayloadError if the failure holds no job.
        """
        own, job = payload.retry_job(failure.entry)
        name = own if queue is None else queue
        keys = self._keys
        touched = self._key(failure.list_name), keys.queues, keys.queue(name)
        hint = str(failure.position)
        if removes:
            args = (failure.entry, name, job, hint)
            return bool(RETRY_REMOVE(self._link, touched, args))
        marked = _marked(failure, time.time())
        return bool(
            RETRY(self._link, touched, (failure.entry, marked, name, job, hint))
        )

    def remove(self, failure: Failure) -> bool:
        """Remove one failure; return False if it is not in its list any more.

        Of equal ones the newest goes, so that nothing moves in front of a reader who
        walks from the newest to the oldest.
        """
        key = self._key(failure.list_name)
        return bool(self._link.call("LREM", key, -1, failure.entry))

    def matching(self, which: FailureFilter) -> Iterator[Failure]:
        """Yield the failures that a filter has, the newest first; changes nothing."""
        return filter(which.has, self.newest_first(which.queue))

    def retry_steps(self, which: FailureFilter) -> Generator[BulkProgress]:
        """Retry the failures that a filter has, and yield the progress in steps.

        The oldest of a list come first. Each is enqueued and marked in one step on the
        server. Those that were retried before are left out, if the filter does not ask
        for them, and so are those without a job. If the iterator is closed, the
        failures that were not looked at stay as they are.
        """
        now = time.time()
        return self._in_each_list(
            which, "head", lambda f: _retry_decision(f, which, now, is_all=True)
        )

    def seen(self, which: FailureFilter | None = None) -> dict[str, SeenBound]:
        """Return the present end of each list that may have failures of a filter."""
        names = self.lists(which.queue if which else None)
        return {name: SeenBound.now(self._link, self._key(name)) for name in names}

    def seen_steps(
        self,
        which: FailureFilter,
        action: SeenAction,
        up_to: Mapping[str, SeenBound],
        *,
        most: int = CHUNK,
        began: float = 0.0,
    ) -> Generator[BulkProgress]:
        """Retry or remove the failures that a filter has, up to what was seen.

        `up_to` has the end of each list, as `seen` returns it; other lists are not
        touched. The oldest failures come first. A step judges at most `most` failures.
        Those that were retried before are left out of a retry, if the filter does not
        ask for them. Those that were retried since `began`, in seconds since the epoch,
        are left out in any case: the same action, which has died and continues, has
        retried them. Raises SeenNothingError if the end is gone.
        """
        # A mark has whole seconds. No mark of this action is before `since`, whatever
        # the clock of this host says, and all marks from before it are.
        since = ceil(began)
        now = max(time.time(), since)

        def judge(failure: Failure) -> Decision:
            if action == "remove":
                return REMOVE if which.has(failure) else KEEP
            if began and _is_retried_since(failure, since):
                return DONE_BEFORE
            found = _retry_decision(failure, which, now, is_all=True)
            if action == "retry" or found.code != "r":
                return found
            return replace(found, code="x", entry=b"")

        return self._in_each_list(which, "head", judge, up_to, most)

    def _in_each_list(
        self,
        which: FailureFilter,
        side: Side,
        judge: Callable[[Failure], Decision],
        up_to: Mapping[str, SeenBound] | None = None,
        most: int = CHUNK,
    ) -> Generator[BulkProgress]:
        before = BulkProgress()
        for name in self.lists(which.queue):
            if up_to is not None and name not in up_to:
                continue
            bound = up_to[name] if up_to is not None else None
            change = ListChange(self._link, self._keys, self._key(name), side)
            judged = partial(_judged, judge, name)
            steps = change.run(judged, bound=bound, most=most)
            progress = before
            with closing(steps):
                for step in steps:
                    progress = before + step
                    yield progress
            before = progress

    def rehearse_retry(
        self, which: FailureFilter, failures: Iterable[Failure] | None = None
    ) -> BulkProgress:
        """Return how many failures a retry would enqueue; changes nothing.

        Judges all failures, or only `failures` if this is not None; those that were
        retried before then count too.
        """
        is_all = failures is None
        judged = changed = left_out = 0
        problem = ""
        for failure in self.oldest_first() if failures is None else failures:
            decision = _retry_decision(failure, which, 0.0, is_all=is_all)
            judged += 1
            changed += decision.code == "r"
            left_out += bool(decision.problem)
            problem = problem or decision.problem
        return BulkProgress(judged, judged, changed, left_out, problem)

    def remove_steps(self, which: FailureFilter) -> Generator[BulkProgress]:
        """Remove the failures that a filter has, and yield the progress in steps.

        The newest of a list come first. Failures that are added meanwhile stay. If the
        iterator is closed, the failures that were not looked at stay as they are.
        """
        return self._in_each_list(
            which, "tail", lambda f: REMOVE if which.has(f) else KEEP
        )

    def clear(self, list_name: str | None = None) -> int:
        """Remove all failures, or those of one list; return how many there were."""
        keys, names = self._keys, [list_name] if list_name else self.lists()
        return sum(
            int(
                CLEAR(
                    self._link,
                    (self._key(name), keys.bulk, keys.bulk_staged(name)),
                    (name,),
                )
            )
            for name in names
        )

    def clear_retried(self) -> int:
        """Remove the failures that were retried; return how many there were."""
        return last_of(self.remove_steps(FailureFilter(is_retried=True))).changed


def in_order(lists: Sequence[Iterator[Failure]], *, newest: bool) -> Iterator[Failure]:
    """Yield the failures of several lists by time, the newest first or last.

    Each list is in that order. A failure whose time cannot be read comes after the one
    before it in its list.
    """
    if len(lists) == 1:
        yield from lists[0]
        return
    timed = [_with_times(each, newest=newest) for each in lists]
    for _, failure in merge(*timed, key=itemgetter(0)):
        yield failure


def _with_times(
    failures: Iterator[Failure], *, newest: bool
) -> Iterator[tuple[float, Failure]]:
    last = -inf
    for failure in failures:
        at = failure.failed_at
        if at is not None:
            last = max(last, -at.timestamp() if newest else at.timestamp())
        yield last, failure


def _judged(
    judge: Callable[[Failure], Decision], list_name: str, entry: bytes
) -> Decision:
    return judge(Failure(entry, list_name=list_name))


def _marked(failure: Failure, now: float) -> bytes:
    return payload.retried(failure.entry, now, has_zone=failure.list_name == FAILED)


def _is_retried_since(failure: Failure, since: float) -> bool:
    at = failure.retried_at if failure.is_retried else None
    return at is not None and at.timestamp() >= since


def _retry_decision(
    failure: Failure, which: FailureFilter, now: float, *, is_all: bool
) -> Decision:
    """Judge whether a failure is retried; `now` is in seconds since the epoch."""
    is_left_out = is_all and failure.is_retried and not which.is_retried
    if is_left_out or not which.has(failure):
        return KEEP
    try:
        queue, job = payload.retry_job(failure.entry)
        return Decision("r", _marked(failure, now), queue, job)
    except PayloadError as error:
        return Decision("k", problem=f"failure {failure.id}: {error}")
