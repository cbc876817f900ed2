"""The runs of classes since midnight, as counters that only grow until the next one.

A counter that goes down looks like a restart to Prometheus, whose rate() then takes
all of it for new. So a class that has a series keeps it for the day, and numbers that
were read while a worker wrote them do not fall back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from resqued.core.histogram import total
from resqued.core.history_layout import REST
from resqued.store.history import ClassRuns

# So many classes have series; the others have one together.
MOST_CLASSES, OTHER = 100, "other"


class ClassCounters:
    """Reads the runs of today, with those of the classes beyond the limit as `other`.

    Not safe to use from several threads at once.
    """

    def __init__(self, read: Callable[[], Mapping[str, ClassRuns]]) -> None:
        self._read = read
        self._named: dict[str, None] = {}
        self._last: dict[str, ClassRuns] = {}
        self._runs = 0

    def read(self) -> Mapping[str, ClassRuns]:
        """Return the runs of the classes that have series; raise StoreError.

        The classes that are found first have series, of these those with most runs.
        """
        today = self._read()
        runs = sum(one.done for one in today.values())
        if runs < self._runs:
            # It is the next day, or the history was removed.
            self._named, self._last = {}, {}
        self._runs = runs
        self._name(today)
        found = {name: today[name] for name in self._named if name in today}
        if rest := [one for name, one in today.items() if name not in found]:
            found[OTHER] = _sum(rest)
        self._last = {name: _grown(self._last.get(name), found[name]) for name in found}
        return self._last

    def _name(self, today: Mapping[str, ClassRuns]) -> None:
        ranked = sorted(today.items(), key=lambda item: (-item[1].done, item[0]))
        for name, _ in ranked:
            if len(self._named) >= MOST_CLASSES:
                return
            if name not in (REST, OTHER):
                self._named.setdefault(name)


def _sum(runs: list[ClassRuns]) -> ClassRuns:
    return ClassRuns(
        sum(one.done for one in runs),
        sum(one.failed for one in runs),
        sum(one.milliseconds for one in runs),
        tuple(total([one.buckets for one in runs])),
    )


def _grown(last: ClassRuns | None, now: ClassRuns) -> ClassRuns:
    """Return what was read, without a number that is less than it was."""
    if last is None:
        return now
    succeeded = max(last.done - last.failed, now.done - now.failed)
    failed = max(last.failed, now.failed)
    return ClassRuns(
        succeeded + failed,
        failed,
        max(last.milliseconds, now.milliseconds),
        tuple(map(max, last.buckets, now.buckets)),
    )
