"""The states of a master, and what each event makes of them, as one table.

    RUNNING -> QUITTING     told to finish the running jobs and leave
    RUNNING, QUITTING -> TERMINATING    told to end the running jobs now
    QUITTING, TERMINATING -> STOPPED    the last worker has gone

An event without a row changes nothing: a second TERM is not different from the
first, and nothing starts again once stopping has begun. A pool in burst mode
stops by itself, when all of its workers have found their queues empty.
"""

from __future__ import annotations

import math
from enum import Enum, IntEnum


class State(Enum):
    """What a master is about."""

    RUNNING = "running"
    QUITTING = "quitting"
    TERMINATING = "terminating"
    STOPPED = "stopped"


class Event(Enum):
    """What can happen to it."""

    QUIT = "quit"
    TERMINATE = "terminate"
    EMPTY = "empty"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RUNNING, Event.QUIT): State.QUITTING,
    (State.RUNNING, Event.TERMINATE): State.TERMINATING,
    (State.QUITTING, Event.TERMINATE): State.TERMINATING,
    (State.QUITTING, Event.EMPTY): State.STOPPED,
    (State.TERMINATING, Event.EMPTY): State.STOPPED,
}


def step(state: State, event: Event) -> State:
    """Return the state that follows."""
    return TRANSITIONS.get((state, event), state)


class Stop(IntEnum):
    """How urgently a worker is to stop; it only ever grows."""

    NO = 0
    QUIT = 1
    TERMINATE = 2


def retirement(max_age: float, now: float, jitter: float) -> float:
    """Return when a worker that begins now is old; never, without a greatest age.

    A jitter in 0..1 makes it up to a tenth less: workers that began together do not
    all leave together.
    """
    return now + max_age * (1.0 - jitter / 10) if max_age else math.inf
