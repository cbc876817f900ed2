"""The groups and origins of the failures in an index, and what is counted of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from resqued.core.grouping import Group
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_columns import FailureRow

# With more groups than these, the messages of a class do not count any more.
MOST_GROUPS = 20_000
_OTHERS = "(other messages)"
_LONGEST = 300


@dataclass(slots=True)
class GroupCount:
    """How often a group has failed, and when; times are seconds since the epoch."""

    group: Group
    sample: str
    count: int = 0
    retried: int = 0
    first: int = 0
    last: int = 0

    def add(self, row: FailureRow) -> None:
        """Count one more failure."""
        self.count += 1
        self.retried += row.retried
        if row.time:
            self.first = min(self.first or row.time, row.time)
            self.last = max(self.last, row.time)

    def drop(self, row: FailureRow) -> None:
        """Count one failure less; first and last stay as they are."""
        self.count -= 1
        self.retried -= row.retried

    def plus(self, other: GroupCount) -> GroupCount:
        """Return the sum of two groups, with the sample of the newer one."""
        newer = self if self.last >= other.last else other
        return GroupCount(
            newer.group,
            newer.sample,
            self.count + other.count,
            self.retried + other.retried,
            min(filter(None, (self.first, other.first)), default=0),
            max(self.last, other.last),
        )


@dataclass(slots=True)
class FailureGroups:
    """Numbers for groups and for origins, (queue, host), and the counts of groups."""

    groups: list[GroupCount] = field(default_factory=list)
    origins: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _group_numbers: dict[Group, int] = field(default_factory=dict)
    _origin_numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def row_of(self, failure: Failure) -> FailureRow:
        """Return the row of a failure; the counts are as before."""
        at = failure.failed_at
        time = int(at.timestamp()) if at else 0
        return FailureRow(
            int(failure.id, 16),
            self._group_of(failure),
            self._origin_of(failure),
            min(max(time, 0), 2**32 - 1),
            int(failure.is_retried),
        )

    def _group_of(self, failure: Failure) -> int:
        group = failure.group
        if group not in self._group_numbers and len(self.groups) >= MOST_GROUPS:
            group = Group(group.class_name, group.exception, _OTHERS)
        number = self._group_numbers.setdefault(group, len(self.groups))
        if number == len(self.groups):
            self.groups.append(GroupCount(group, failure.error[:_LONGEST]))
        return number

    def _origin_of(self, failure: Failure) -> int:
        origin = failure.queue, failure.host
        number = self._origin_numbers.setdefault(origin, len(self.origins))
        if number == len(self.origins):
            self.origins.append(origin)
        return number

    def add(self, row: FailureRow) -> None:
        """Count a row."""
        self.groups[row.group].add(row)

    def drop(self, row: FailureRow) -> None:
        """Count a row no more."""
        self.groups[row.group].drop(row)

    def fitting(self, which: FailureFilter) -> tuple[bytes, bytes]:
        """Return for each group and for each origin if a filter has it: 1 or 0."""
        groups = bytes(
            which.class_name in (None, each.group.class_name)
            and which.exception in (None, each.group.exception)
            and which.group in (None, which.group and each.group.key)
            for each in self.groups
        )
        origins = bytes(
            which.queue in (None, queue) and which.host in (None, host)
            for queue, host in self.origins
        )
        return groups, origins

    def summed(self, by: str) -> list[GroupCount]:
        """Return the counts by `class`, `exception` or group, the largest first."""
        names: dict[str, Callable[[Group], Group]] = {
            "class": lambda group: Group(group.class_name, "", ""),
            "exception": lambda group: Group("", group.exception, ""),
        }
        keyed = names.get(by)
        found: dict[Group, GroupCount] = {}
        for each in self.groups:
            if each.count > 0:
                key = keyed(each.group) if keyed else each.group
                found[key] = found[key].plus(each) if key in found else each
        summed = [
            GroupCount(key, e.sample, e.count, e.retried, e.first, e.last)
            for key, e in found.items()
        ]
        return sorted(summed, key=lambda each: (-each.count, -each.last))

    def classes(self, numbers: Counter[int]) -> Counter[str]:
        """Return how many failures each class has, from those of groups."""
        return _named(numbers, [each.group.class_name for each in self.groups])

    def queues(self, numbers: Counter[int]) -> Counter[str]:
        """Return how many failures each queue has, from those of origins."""
        return _named(numbers, [queue for queue, _ in self.origins])


def _named(numbers: Counter[int], names: Sequence[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    pairs: Iterable[tuple[int, int]] = numbers.items()
    for number, count in pairs:
        found[names[number]] += count
    return found
