"""Which workers to wake when there are jobs, and which queues to name to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from resqued.wire.queue_list import QueueList

T = TypeVar("T")

# How many queues are named to a worker, and how long their names may be in all, in
# bytes: a message has room for 256 kB of JSON, in which a byte takes up to six.
MOST_NAMES = 100
_ROOM = 32_000


def workers_to_wake(
    lengths: Mapping[str, int], idle: Sequence[tuple[T, QueueList]]
) -> list[tuple[T, tuple[str, ...]]]:
    """Return the idle workers that have something to do, with queues that have jobs.

    A woken worker takes its own first choice, so it counts for one job of any
    of its queues; who stays asleep is woken by the next look.
    """
    left = dict(lengths)
    named: dict[QueueList, tuple[str, ...]] = {}
    woken: list[tuple[T, tuple[str, ...]]] = []
    for worker, queues in idle:
        name = next((n for n, size in left.items() if size and queues.serves(n)), None)
        if name is None:
            continue
        left[name] -= 1
        if not left[name]:
            del left[name]
        if queues not in named:
            named[queues] = first_choices(lengths, queues)
        woken.append((worker, named[queues]))
    return woken


def first_choices(lengths: Mapping[str, int], queues: QueueList) -> tuple[str, ...]:
    """Return the first queues of a list that have jobs, in its order.

    Empty if not even one has room in a message: the worker looks for itself.
    """
    room = _ROOM
    names: list[str] = []
    for name in queues.match(name for name, size in lengths.items() if size):
        room -= len(name.encode("utf-8", "surrogateescape"))
        if room < 0 or len(names) == MOST_NAMES:
            break
        names.append(name)
    return tuple(names)
