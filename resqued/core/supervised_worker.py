"""A worker as its master sees it: its states, what its exit means, when it is stuck.

    FORKED    the zygote was asked to fork it; it has not said who it is
    STARTING  it has named its pid and its id, and registers in Redis
    READY     it is registered, and takes jobs
    REFUSED   another worker has its id in Redis; it exits
    LEAVING   it was ordered to leave, and may still take a job that is on its way
    YIELDED   it takes no more jobs, and finishes the running one
    FINISHED  its queues are empty, in burst mode; nobody takes its place
    GONE      it has been reaped

An event without a row changes nothing. A worker that a person sent SIGQUIT yields
without an order.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from resqued.core.exit_status import Exit
from resqued.core.timings import Timings


class SupervisedState(Enum):
    """What the master knows of a worker."""

    FORKED = "forked"
    STARTING = "starting"
    READY = "ready"
    REFUSED = "refused"
    LEAVING = "leaving"
    YIELDED = "yielded"
    FINISHED = "finished"
    GONE = "gone"


class SupervisedEvent(Enum):
    """What can happen to it."""

    HELLO = "hello"
    REGISTERED = "registered"
    ID_TAKEN = "id taken"
    ORDERED_TO_LEAVE = "ordered to leave"
    NO_MORE_JOBS = "no more jobs"
    QUEUES_EMPTY = "queues empty"
    EXITED = "exited"


_FORKED, _STARTING, _READY, _REFUSED = (
    SupervisedState.FORKED,
    SupervisedState.STARTING,
    SupervisedState.READY,
    SupervisedState.REFUSED,
)
_LEAVING, _YIELDED, _FINISHED = (
    SupervisedState.LEAVING,
    SupervisedState.YIELDED,
    SupervisedState.FINISHED,
)

TRANSITIONS: dict[tuple[SupervisedState, SupervisedEvent], SupervisedState] = {
    (_FORKED, SupervisedEvent.HELLO): _STARTING,
    (_STARTING, SupervisedEvent.REGISTERED): _READY,
    # One that was pruned while it lived registers again, and may be refused then.
    (_STARTING, SupervisedEvent.ID_TAKEN): _REFUSED,
    (_READY, SupervisedEvent.ID_TAKEN): _REFUSED,
    (_FORKED, SupervisedEvent.ORDERED_TO_LEAVE): _LEAVING,
    (_STARTING, SupervisedEvent.ORDERED_TO_LEAVE): _LEAVING,
    (_READY, SupervisedEvent.ORDERED_TO_LEAVE): _LEAVING,
    (_STARTING, SupervisedEvent.NO_MORE_JOBS): _YIELDED,
    (_READY, SupervisedEvent.NO_MORE_JOBS): _YIELDED,
    (_LEAVING, SupervisedEvent.NO_MORE_JOBS): _YIELDED,
    (_READY, SupervisedEvent.QUEUES_EMPTY): _FINISHED,
    (_LEAVING, SupervisedEvent.QUEUES_EMPTY): _FINISHED,
    (_YIELDED, SupervisedEvent.QUEUES_EMPTY): _FINISHED,
    **{
        (state, SupervisedEvent.EXITED): SupervisedState.GONE
        for state in SupervisedState
    },
}

# Registered in Redis, as far as the master knows.
REGISTERED = frozenset((_READY, _LEAVING, _YIELDED, _FINISHED))
# Takes no more jobs, so that another worker may begin in its place.
HAS_YIELDED = frozenset((_YIELDED, _FINISHED, SupervisedState.GONE))


def step(state: SupervisedState, event: SupervisedEvent) -> SupervisedState:
    """Return the state that follows."""
    return TRANSITIONS.get((state, event), state)


def is_good_exit(state: SupervisedState, how: Exit, *, is_stopping: bool) -> bool:
    """Return True if a worker has exited in good order."""
    if how.code != 0 or state is _REFUSED:
        return False
    return state in REGISTERED or is_stopping


class WorkerStep(Enum):
    """What a worker was doing when it died, as far as it matters for its slot."""

    WAITING = "waiting"
    RESERVING = "reserving"
    RUNNING = "running"
    OTHER = "other"


class Death(NamedTuple):
    """How a worker ended, at which step, and how many seconds after its fork."""

    how: Exit
    at: WorkerStep
    age: float


def is_start_failure(
    state: SupervisedState, death: Death, *, is_on_trial: bool, timings: Timings
) -> bool:
    """Return True if a worker failed to start, so that its slot must back off.

    A worker that was killed while it had a job,
    or was reserving one, is replaced at once, unless its generation is on trial: the
    reservation may be what it died of.
    """
    if state not in REGISTERED:
        return True
    is_suspect = death.at is WorkerStep.WAITING or (
        is_on_trial and death.at is WorkerStep.RESERVING
    )
    is_young = death.age < timings.start_window
    return is_young and (death.how.code >= 0 or is_suspect)


def step_limit(redis_timeout: float, timings: Timings) -> float:
    """Return the longest that a step of a worker other than a job takes, in seconds."""
    return max(timings.min_step_limit, timings.redis_timeouts_per_step * redis_timeout)


def is_step_overdue(
    at: WorkerStep,
    age: float,
    *,
    redis_timeout: float,
    heartbeat: float,
    timings: Timings,
) -> bool:
    """Return True if a step takes longer than any step can.

    `age` is how long the step has taken, in seconds. A running job is not a step: how
    long it may take is for its limits. An idle worker shows a new step with each
    heartbeat.
    """
    if at is WorkerStep.RUNNING:
        return False
    limit = step_limit(redis_timeout, timings)
    return age > limit + (2 * heartbeat if at is WorkerStep.WAITING else 0.0)
