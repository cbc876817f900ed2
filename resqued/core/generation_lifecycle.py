"""Which generation serves: the states of a master's generations, and their failures.

    BOOTING -> SERVING     a worker of the first generation is ready
    any     -> TRIAL       a new generation has imported the application: one worker,
                           the canary, tries it out; the generation before is kept
    TRIAL   -> MOVING      the canary did well: slots move, one at a time
    MOVING  -> SERVING     every slot has moved: the generation before is let go
    TRIAL, MOVING -> SERVING   it failed: everything goes back to the one before
    BOOTING -> FAILED      there is nothing to go back to: the master exits

A generation that comes while another is on trial takes the place of that one; what is
gone back to stays the one that served.
"""

from __future__ import annotations

from enum import Enum

# So many start failures in a row without one worker that got ready are no accident.
MAX_START_FAILURES = 5
# With the generation before to go back to, the new one is given up sooner.
MAX_CANARY_DEATHS = 3


class GenerationState(Enum):
    """Where a master stands between two generations."""

    BOOTING = "booting"
    SERVING = "serving"
    TRIAL = "trial"
    MOVING = "moving"
    FAILED = "failed"


class GenerationEvent(Enum):
    """What can happen to it."""

    PROMOTED = "promoted"
    WORKER_READY = "worker ready"
    TRIAL_PASSED = "trial passed"
    ALL_MOVED = "all moved"
    FAILURE = "failure"


_BOOTING, _SERVING, _TRIAL, _MOVING, _FAILED = GenerationState

TRANSITIONS: dict[tuple[GenerationState, GenerationEvent], GenerationState] = {
    (_BOOTING, GenerationEvent.WORKER_READY): _SERVING,
    (_BOOTING, GenerationEvent.PROMOTED): _TRIAL,
    (_SERVING, GenerationEvent.PROMOTED): _TRIAL,
    (_MOVING, GenerationEvent.PROMOTED): _TRIAL,
    (_TRIAL, GenerationEvent.TRIAL_PASSED): _MOVING,
    (_MOVING, GenerationEvent.ALL_MOVED): _SERVING,
    (_BOOTING, GenerationEvent.FAILURE): _FAILED,
    (_TRIAL, GenerationEvent.FAILURE): _SERVING,
    (_MOVING, GenerationEvent.FAILURE): _SERVING,
}


def step(state: GenerationState, event: GenerationEvent) -> GenerationState:
    """Return the state that follows."""
    return TRANSITIONS.get((state, event), state)


class OnFailure(Enum):
    """What to do about a generation that fails."""

    GIVE_UP = "give up"
    ROLL_BACK = "roll back"
    RESTART = "restart"


def on_failure(state: GenerationState) -> OnFailure:
    """Return what to do when the current generation cannot be had as it is.

    RESTART: workers of it are at work; its zygote is started again, with back-off.
    """
    if state is _TRIAL or state is _MOVING:
        return OnFailure.ROLL_BACK
    return OnFailure.RESTART if state is _SERVING else OnFailure.GIVE_UP


class OnPromotion(Enum):
    """What becomes of the current generation when a new one takes over."""

    KEPT = "kept, to go back to"
    CLOSED = "closed: overtaken before it had proven itself"


def on_promotion(state: GenerationState) -> OnPromotion:
    """Return what becomes of the current generation when a new one takes over."""
    return OnPromotion.CLOSED if state is _TRIAL else OnPromotion.KEPT


def start_failures_allowed(state: GenerationState) -> float:
    """Return how many workers in a row may fail to start, before it is a failure.

    Infinite while a generation serves: its slots back off, each by itself.
    """
    if state is _TRIAL or state is _MOVING:
        return MAX_CANARY_DEATHS
    return MAX_START_FAILURES if state is _BOOTING else float("inf")


def is_zygote_hopeless(failures: int, *, is_proven: bool) -> bool:
    """Return True if a zygote that has died so often in a row will not come up.

    `is_proven`: a worker of its generation got ready once, so that it can come up.
    """
    return not is_proven and failures >= MAX_START_FAILURES
