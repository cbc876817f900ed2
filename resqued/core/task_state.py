"""The state of a task of the web front end: work that takes longer than a request.

A record is what Redis has of a task. Its process writes it each second, the beat; every
process shows it and may leave an order in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from resqued.core import roles

# Without a beat for so long, in seconds, the process of a task counts as dead.
ABANDONED_AFTER = 15.0
# The longest rest after a step of a task without a rate, in seconds.
LONGEST_REST = 0.1

# States. An active task has a process; it is waiting for another task, or for Redis
# (away), or it was paused.
WAITING, RUNNING, PAUSED, AWAY = "waiting", "running", "paused", "away"
DONE, STOPPED, FAILED = "done", "stopped", "failed"
# An active task whose process is dead; never written.
ABANDONED = "abandoned"
ACTIVE = (WAITING, RUNNING, PAUSED, AWAY)

# Orders.
RUN, PAUSE, STOP, GO_ON = "run", "pause", "stop", "go_on"


class TaskKind(Struct, frozen=True):
    """A kind of task: its words, and the capability that it needs.

    `past` says what was done to the elements. Of the kinds that change long lists,
    `is_bulk`, one task runs at a time in a namespace.
    """

    title: str
    past: str
    capability: str
    is_bulk: bool = True


KINDS: Mapping[str, TaskKind] = {
    "retry": TaskKind("Retry", "retried", roles.RETRY),
    "retry_remove": TaskKind("Retry and remove", "retried and removed", roles.RETRY),
    "remove": TaskKind("Remove", "removed", roles.REMOVE),
    "search": TaskKind("Search", "found", roles.VIEW, is_bulk=False),
    "dequeue_class": TaskKind("Remove jobs of a class", "removed", roles.JOB),
    "move_queue": TaskKind("Move a queue", "moved", roles.QUEUE),
    "remove_queue": TaskKind("Remove a queue", "removed", roles.QUEUE),
}


class TaskRecord(Struct, frozen=True):
    """What is known of a task. Times are seconds since the epoch, by Redis' clock.

    `choice` says on what it works, `words` the same in words. `done` counts the
    elements that were changed or found, `judged` those of `total` that were looked at,
    since the task has last begun. `left_out` and `problem` are of those that were meant
    and cannot be changed. `expected` is how many were to be changed, 0 if that is not
    known. `rate` is the most elements a second, 0 for no limit; `speed` how many there
    were in the last second. `wanted` is the last order, `runner` a name of the thread.
    """

    id: str
    kind: str
    choice: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    user: str = ""
    state: str = WAITING
    wanted: str = RUN
    done: int = 0
    left_out: int = 0
    problem: str = ""
    judged: int = 0
    total: int = 0
    expected: int = 0
    rate: int = 0
    speed: float = 0.0
    began: float = 0.0
    beat: float = 0.0
    ended: float = 0.0
    runner: str = ""
    error: str = ""

    def at(self, now: float) -> TaskRecord:
        """Return the record as it is at a time: abandoned if its process is dead."""
        if self.state in ACTIVE and now - self.beat > ABANDONED_AFTER:
            return replace(self, state=ABANDONED)
        return self

    @property
    def about(self) -> TaskKind:
        """What the kind of the task means."""
        return KINDS[self.kind]

    @property
    def is_active(self) -> bool:
        """Whether it has not ended; it may be abandoned."""
        return self.state in (*ACTIVE, ABANDONED)

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders that make sense now."""
        if self.state == ABANDONED:
            return (GO_ON, STOP)
        if self.state == PAUSED or (self.is_active and self.wanted == PAUSE):
            return (RUN, STOP)
        return (PAUSE, STOP) if self.state in ACTIVE else ()

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        if not self.is_active:
            return 1.0 if self.state == DONE else min(1.0, self._share())
        return min(1.0, self._share())

    def _share(self) -> float:
        return self.judged / self.total if self.total else 0.0


def pause_after(changed: int, rate: int, took: float) -> float:
    """Return how long to wait after a step, in seconds, to keep to a rate.

    The step has changed so many elements in `took` seconds. A rate of 0 is no limit,
    but half of the time is left to the pool, which needs the same server.
    """
    return max(0.0, changed / rate - took) if rate else min(took, LONGEST_REST)


def may_order(record: TaskRecord, user: str, capabilities: frozenset[str]) -> bool:
    """Return True if a user may stop, pause and resume a task.

    Those of others need the capability `admin`.
    """
    if record.about.capability not in capabilities:
        return False
    return roles.ADMIN in capabilities or user == record.user
