"""Which workers to wake for new jobs: one idle worker for each job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from resqued.wire.queue_list import QueueList

T = TypeVar("T")


def workers_to_wake(
    lengths: Mapping[str, int], idle: Sequence[tuple[T, QueueList]]
) -> list[T]:
    """Return the idle workers that have something to do.

    A woken worker takes its own first choice, so it counts for one job of any
    of its queues; who stays asleep is woken by the next look.
    """
    left = dict(lengths)
    woken: list[T] = []
    for worker, queues in idle:
        name = next((n for n, size in left.items() if size and queues.serves(n)), None)
        if name is not None:
            left[name] -= 1
            woken.append(worker)
    return woken
