"""The states of a master and the transitions between them, as one table.

    RUNNING -> QUITTING                 an order to finish the running jobs and leave
    RUNNING, QUITTING -> TERMINATING    an order to end the running jobs now
    QUITTING, TERMINATING -> STOPPED    the last worker has left

An event without a row changes nothing: a second TERM has no further effect, and a
master that is stopping cannot return to RUNNING. A pool in burst mode stops by
itself, when all of its workers have found their queues empty.
"""

from __future__ import annotations

import math
from enum import Enum, IntEnum


class State(Enum):
    """The state of a master."""

    RUNNING = "running"
    QUITTING = "quitting"
    TERMINATING = "terminating"
    STOPPED = "stopped"


class Event(Enum):
    """What changes the state of a master."""

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
    """Return the state that follows `state` after `event`."""
    return TRANSITIONS.get((state, event), state)


class Stop(IntEnum):
    """How urgently a worker is to stop; the value never decreases."""

    NO = 0
    QUIT = 1
    TERMINATE = 2


def retirement(max_age: float, now: float, jitter: float) -> float:
    """Return the time at which a worker that starts at `now` is to be replaced.

    `max_age` is in seconds; 0 means never, and the result is infinity. `jitter`, a
    number in 0..1, shortens the age by up to a tenth, so that workers that started
    together do not all leave together.
    """
    return now + max_age * (1.0 - jitter / 10) if max_age else math.inf
