"""The groups and origins of the failures in an index, and what is counted of them."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct, field

from resqued.core.grouping import Group, innermost, normalized
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web.failure_columns import FailureRow
from resqued.wire import failure_head

# With more groups than these, the messages of a class do not count any more.
MOST_GROUPS = 20_000
_OTHERS = "(other messages)"
_LONGEST = 300
# How many bytes of the digest of an entry its row has: those of its id.
_DIGEST = 6
# Class, exception, message and frame.
_GroupParts = tuple[str, str, str, str]
# How much the memory of backtraces may hold: bytes of one, and how many.
_LONGEST_TRACE, _TRACES = 8_192, 500


class GroupCount(Struct):
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


class FailureGroups(Struct):
    """Numbers for groups and for origins, (queue, host), and the counts of groups."""

    groups: list[GroupCount] = field(default_factory=list)
    origins: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _group_numbers: dict[_GroupParts, int] = field(default_factory=dict)
    _origin_numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def row_of(self, entry: bytes) -> FailureRow:
        """Return the row of a failure; the counts are as before."""
        digest = int.from_bytes(hashlib.sha256(entry).digest()[:_DIGEST], "big")
        head = failure_head.read(entry)
        if head is None:
            return self._row_of_odd(digest, Failure(entry))
        parts = (
            head.payload.class_name,
            head.exception,
            normalized(head.error),
            _innermost(bytes(head.backtrace)),
        )
        return FailureRow(
            digest,
            self._group_of(parts, head.error),
            self._origin_of(head.queue, head.worker.partition(":")[0]),
            failure_head.seconds(head.failed_at),
            int(bool(head.retried_at)),
        )

    def _row_of_odd(self, digest: int, failure: Failure) -> FailureRow:
        group = failure.group
        parts = group.class_name, group.exception, group.message, group.frame
        return FailureRow(
            digest,
            self._group_of(parts, failure.error),
            self._origin_of(failure.queue, failure.host),
            failure_head.seconds(str(failure.fields.get("failed_at") or "")),
            int(failure.is_retried),
        )

    def _group_of(self, parts: _GroupParts, error: str) -> int:
        number = self._group_numbers.get(parts)
        if number is not None:
            return number
        if len(self.groups) >= MOST_GROUPS:
            parts = parts[0], parts[1], _OTHERS, ""
        number = self._group_numbers.setdefault(parts, len(self.groups))
        if number == len(self.groups):
            self.groups.append(GroupCount(Group(*parts), error[:_LONGEST]))
        return number

    def _origin_of(self, queue: str, host: str) -> int:
        origin = queue, host
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

    def fitting(
        self, which: FailureFilter, group: int = 0, origin: int = 0
    ) -> tuple[bytes, bytes]:
        """Return for each group and origin from a number on if a filter has it: 1 or 0.

        Their number only grows.
        """
        groups = bytes(
            which.class_name in (None, each.group.class_name)
            and which.exception in (None, each.group.exception)
            and which.group in (None, which.group and each.group.key)
            for each in self.groups[group:]
        )
        origins = bytes(
            which.queue in (None, queue) and which.host in (None, host)
            for queue, host in self.origins[origin:]
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
        found: Counter[str] = Counter()
        for number, count in numbers.items():
            found[self.groups[number].group.class_name] += count
        return found

    def queues(self, numbers: Counter[int]) -> Counter[str]:
        """Return how many failures each queue has, from those of origins."""
        found: Counter[str] = Counter()
        for number, count in numbers.items():
            found[self.origins[number][0]] += count
        return found


def _innermost(backtrace: bytes) -> str:
    """Return file and function of the innermost frame of a JSON text of lines."""
    if len(backtrace) > _LONGEST_TRACE:
        return innermost(failure_head.lines(backtrace))
    return _innermost_of(backtrace)


@lru_cache(_TRACES)
def _innermost_of(backtrace: bytes) -> str:
    return innermost(failure_head.lines(backtrace))
