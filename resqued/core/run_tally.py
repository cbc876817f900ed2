"""The runs that a worker has counted and not yet written to the history.

A worker counts each run here and writes the sums with its heartbeat. The size is
bounded, whatever the payloads name.
"""

from __future__ import annotations

from resqued.core.histogram import BUCKETS, bucket_of
from resqued.core.history_layout import MOST_NAMES, REST

# The places of a row before those of its histogram.
_DONE, _FAILED, _MS, _FIRST = 0, 1, 2, 3


class RunTally:
    """Runs by class and by queue.

    `classes` has a row for each class: how many runs have ended, how many of them had
    failed, the milliseconds that all took together, and the histogram of these.
    `queues` has how many runs of the jobs of each queue have ended. Both count what
    comes after the 200th name under `*`.
    """

    def __init__(self) -> None:
        self.classes: dict[str, list[int]] = {}
        self.queues: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether a run was counted."""
        return bool(self.classes)

    def count(
        self, class_name: str, queue: str, milliseconds: int, *, has_failed: bool
    ) -> None:
        """Count a run that has ended."""
        row = self.classes.get(class_name)
        if row is None:
            name = class_name if len(self.classes) < MOST_NAMES else REST
            row = self.classes.setdefault(name, [0] * (_FIRST + BUCKETS))
        row[_DONE] += 1
        row[_MS] += milliseconds
        row[_FIRST + bucket_of(milliseconds)] += 1
        if has_failed:
            row[_FAILED] += 1
        if queue not in self.queues and len(self.queues) >= MOST_NAMES:
            queue = REST
        self.queues[queue] = self.queues.get(queue, 0) + 1

    def clear(self) -> None:
        """Forget all runs: they have been written."""
        self.classes.clear()
        self.queues.clear()
