"""The list of failures: reads it in pages, and changes entries by their content.

Entries are never changed by index: while a person looks at a page, others append and
remove entries, and the index then belongs to another failure.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator

from resqued.errors import PayloadError
from resqued.store.bulk import (
    KEEP,
    REMOVE,
    BulkOperation,
    BulkProgress,
    Decision,
    last_of,
)
from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys

RETRY = Script("retry")
CLEAR = Script("clear")
PAGE = 200


class Failures:
    """The failed list of one Redis and namespace; its last entry is the newest.

    All methods raise StoreError if Redis does not answer or refuses.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def count(self) -> int:
        """Return the number of failures."""
        return int(self._link.call("LLEN", self._keys.failed))

    def page(self, start: int = 0, count: int = 20) -> list[Failure]:
        """Return up to `count` failures, newest first, without the `start` newest."""
        if count <= 0:
            return []
        found = self._link.call("LRANGE", self._keys.failed, -start - count, -start - 1)
        return [Failure(entry) for entry in reversed(found)]

    def oldest_first(self) -> Iterator[Failure]:
        """Yield the present failures, the oldest first.

        They may be retried meanwhile; to remove them, walk from the newest.
        """
        end = self.count()
        for start in range(0, end, PAGE):
            yield from self._between(start, min(start + PAGE, end))

    def newest_first(self) -> Iterator[Failure]:
        """Yield the present failures, the newest first.

        They may be removed meanwhile. Positions count from the head, so that neither
        the removal of a yielded failure nor an append shifts the others.
        """
        end = self.count()
        while end > 0:
            start = max(0, end - PAGE)
            yield from reversed(self._between(start, end))
            end = start

    def _between(self, start: int, end: int) -> list[Failure]:
        found = self._link.call("LRANGE", self._keys.failed, start, end - 1)
        return [Failure(entry, start + i) for i, entry in enumerate(found)]

    def find(self, failure_id: str) -> Failure | None:
        """Return the newest failure whose id begins with `failure_id`, or None.

        Reads the list from its end until it finds one.
        """
        if not failure_id:
            return None
        return next(
            (f for f in self.newest_first() if f.id.startswith(failure_id)), None
        )

    def retry(self, failure: Failure) -> bool:
        """Enqueue the job again and mark the failure as retried; return True.

        Returns False if the failure is not in the list any more, or was retried since
        it was read: of two callers who retry one failure, one succeeds. The failure
        stays in the list. Raises PayloadError if the failure holds no job.
        """
        queue, job = payload.retry_job(failure.entry)
        keys = self._keys
        return bool(
            RETRY(
                self._link,
                (keys.failed, keys.queues, keys.queue(queue)),
                (
                    failure.entry,
                    payload.retried(failure.entry, time.time()),
                    queue,
                    job,
                    str(failure.position),
                ),
            )
        )

    def remove(self, failure: Failure) -> bool:
        """Remove one failure; return False if it is not in the list any more.

        Of equal ones the newest goes, so that nothing moves in front of a reader who
        walks from the newest to the oldest.
        """
        return bool(self._link.call("LREM", self._keys.failed, -1, failure.entry))

    def matching(self, which: FailureFilter) -> Iterator[Failure]:
        """Yield the failures that a filter has, the newest first; changes nothing."""
        return filter(which.has, self.newest_first())

    def retry_steps(self, which: FailureFilter) -> Generator[BulkProgress]:
        """Retry the failures that a filter has, and yield the progress in steps.

        The oldest come first. Each is enqueued and marked in one step on the server.
        Those that were retried before are left out, if the filter does not ask for
        them, and so are those without a job. If the iterator is closed, the failures
        that were not looked at stay as they are.
        """
        now = time.time()
        operation = BulkOperation(self._link, self._keys, self._keys.failed, "head")
        return operation.run(
            lambda entry: _retry_decision(Failure(entry), which, now, is_all=True)
        )

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

        The newest come first. Failures that are added meanwhile stay. If the iterator
        is closed, the failures that were not looked at stay as they are.
        """
        operation = BulkOperation(self._link, self._keys, self._keys.failed)
        return operation.run(
            lambda entry: REMOVE if which.has(Failure(entry)) else KEEP
        )

    def clear(self) -> int:
        """Remove all failures; return how many there were."""
        keys = self._keys
        names = (keys.failed, keys.bulk, keys.bulk_staged("failed"))
        return int(CLEAR(self._link, names, ("failed",)))

    def clear_retried(self) -> int:
        """Remove the failures that were retried; return how many there were."""
        return last_of(self.remove_steps(FailureFilter(is_retried=True))).changed


def _retry_decision(
    failure: Failure, which: FailureFilter, now: float, *, is_all: bool
) -> Decision:
    """Judge whether a failure is retried; `now` is in seconds since the epoch."""
    is_left_out = is_all and failure.is_retried and not which.is_retried
    if is_left_out or not which.has(failure):
        return KEEP
    try:
        queue, job = payload.retry_job(failure.entry)
        return Decision("r", payload.retried(failure.entry, now), queue, job)
    except PayloadError as error:
        return Decision("k", problem=f"failure {failure.id}: {error}")
