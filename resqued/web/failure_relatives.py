"""What other failures there are beside one: of its group, of its job, of its worker."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_index import failure_index
from resqued.web.site import site
from resqued.wire.keys import FAILED

# The newest failures that are looked at for each page, of about so many bytes.
LOOKED, _ROOM = 300, 4 << 20
_OF_WORKER = 5


class Relatives(Struct, frozen=True):
    """How many failures there are like one.

    `count` are those of its group, as far as the index knows; `is_exact` is False if
    there may be more. `same_job` are those of the same class and arguments, with this
    one, among the newest ones of its list, of which `looked_at` were looked at.
    """

    group: str
    count: int
    is_exact: bool
    same_job: int
    looked_at: int


def relatives_of(failure: Failure) -> Relatives:
    """Return how many failures there are like one."""
    index = failure_index()
    coverage = index.look()
    group = failure.group.key
    found = index.matches(FailureFilter(group=group))
    newest = list(_newest(failure.list_name))
    job = failure.class_name, failure.args
    same = sum((each.class_name, each.args) == job for each in newest)
    if not any(each.entry == failure.entry for each in newest):
        same += 1
    return Relatives(group, max(1, found.count), coverage.is_exact, same, len(newest))


def last_of_worker(worker_id: str) -> list[Failure]:
    """Return the last failures of a worker, among the newest ones of all."""
    found = (each for each in _newest(FAILED) if each.worker == worker_id)
    return [each for _, each in zip(range(_OF_WORKER), found, strict=False)]


def _newest(list_name: str) -> Iterator[Failure]:
    chosen, room = site().client.failures.in_list(list_name), _ROOM
    length = chosen.length()
    failures = chosen.downwards(length)
    for _ in range(min(length, LOOKED)):
        failure = next(failures, None)
        if failure is None or room < 0:
            return
        room -= len(failure.entry)
        yield failure
