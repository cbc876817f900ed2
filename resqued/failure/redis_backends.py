"""The back ends in Redis, as an interface to the lists of failures.

Workers do not use them: the script that settles a run writes its failure, in one step
with the counters.
"""

from __future__ import annotations

from resqued.failure.backend import FailureBackend
from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.failures import Failures
from resqued.store.script import Script
from resqued.wire.failure_place import IN_FAILED, FailurePlace
from resqued.wire.keys import Keys

SAVE = Script("save_failure")


class RedisBackend(FailureBackend):
    """The list `failed`, and what other lists have."""

    place: FailurePlace = IN_FAILED

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._failures = Failures(link, keys)

    def save(self, failure: Failure, delivery: str) -> None:  # noqa: ARG002
        """Add a failure to its list; `delivery` is not used."""
        text = self.place.addressed(failure.entry, failure.queue)
        keys = self._keys
        SAVE(self._link, (keys.failed, keys.failed_aside), (text,))

    def count(self) -> int:
        """Return the number of failures in all lists."""
        return self._failures.count()

    def page(self, start: int = 0, count: int = 20) -> list[Failure]:
        """Return up to `count` failures, newest first, without the `start` newest."""
        return self._failures.page(start, count)

    def retry(self, failure: Failure) -> bool:
        """Enqueue the job of a failure again and mark it; False if it is gone."""
        return self._failures.retry(failure)

    def remove(self, failure: Failure) -> bool:
        """Remove one failure; return False if it is not there."""
        return self._failures.remove(failure)

    def clear(self) -> int:
        """Remove all failures; return how many there were."""
        return self._failures.clear()

    def clear_retried(self) -> int:
        """Remove the failures that were retried; return how many there were."""
        return self._failures.clear_retried()


class RedisMultiQueueBackend(RedisBackend):
    """A list `<queue>_failed` for each queue."""

    place = FailurePlace(is_per_queue=True)
