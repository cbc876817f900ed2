"""Which workers to wake for new jobs, and which queues the order names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from resqued.wire.queue_list import QueueList

T = TypeVar("T")

# How many queues one order names at most, and how long their names may be together,
# in bytes: a message has room for 256 kB of JSON, in which a byte takes up to six.
MOST_NAMES = 100
_ROOM = 32_000


def workers_to_wake(
    lengths: Mapping[str, int], idle: Sequence[tuple[T, QueueList]]
) -> list[tuple[T, tuple[str, ...] | None]]:
    """Return the idle workers to wake, each with the queues that have jobs for it.

    A woken worker takes the first job in its own order, so it counts for one job of any
    of its queues. A worker that is not woken although it should be is woken after the
    next look.
    """
    left = dict(lengths)
    named: dict[QueueList, tuple[str, ...] | None] = {}
    woken: list[tuple[T, tuple[str, ...] | None]] = []
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


def paused_for(
    paused: Collection[str] | None, queues: QueueList
) -> tuple[str, ...] | None:
    """Return the paused queues that a list serves, for its workers.

    None if they have no room in a message, or are not known: the workers read them.
    """
    if paused is None:
        return None
    names = tuple(sorted(name for name in paused if queues.serves(name)))
    size = sum(len(name.encode("utf-8", "surrogateescape")) for name in names)
    return names if size + len(names) <= _ROOM else None


def first_choices(
    lengths: Mapping[str, int], queues: QueueList
) -> tuple[str, ...] | None:
    """Return the first queues of a list that have jobs, in its order.

    None if the first name has no room in a message: the worker then looks at all of its
    queues.
    """
    room = _ROOM
    names: list[str] = []
    for name in queues.match(name for name, size in lengths.items() if size):
        room -= len(name.encode("utf-8", "surrogateescape"))
        if room < 0 or len(names) == MOST_NAMES:
            return tuple(names) or None
        names.append(name)
    return tuple(names)
