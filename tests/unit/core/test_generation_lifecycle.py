"""Which generation serves: the table of states, and what a failure leads to."""

from __future__ import annotations

import math

import pytest

from resqued.core.generation_lifecycle import (
    MAX_CANARY_DEATHS,
    MAX_START_FAILURES,
    GenerationEvent,
    GenerationState,
    OnFailure,
    OnPromotion,
    is_zygote_hopeless,
    on_failure,
    on_promotion,
    start_failures_allowed,
    step,
)

BOOTING, SERVING, TRIAL, MOVING, FAILED = GenerationState
E = GenerationEvent

TABLE = {
    BOOTING: {E.PROMOTED: TRIAL, E.WORKER_READY: SERVING, E.FAILURE: FAILED},
    SERVING: {E.PROMOTED: TRIAL},
    TRIAL: {E.TRIAL_PASSED: MOVING, E.FAILURE: SERVING},
    MOVING: {E.PROMOTED: TRIAL, E.ALL_MOVED: SERVING, E.FAILURE: SERVING},
    FAILED: {},
}


@pytest.mark.parametrize("state", GenerationState)
@pytest.mark.parametrize("event", GenerationEvent)
def test_every_event_in_every_state(
    state: GenerationState, event: GenerationEvent
) -> None:
    assert step(state, event) is TABLE[state].get(event, state)


@pytest.mark.parametrize(
    ("state", "reaction"),
    [
        (BOOTING, OnFailure.GIVE_UP),
        (SERVING, OnFailure.RESTART),
        (TRIAL, OnFailure.ROLL_BACK),
        (MOVING, OnFailure.ROLL_BACK),
        (FAILED, OnFailure.GIVE_UP),
    ],
)
def test_a_failure_goes_back_if_there_is_something_to_go_back_to(
    state: GenerationState, reaction: OnFailure
) -> None:
    assert on_failure(state) is reaction


def test_a_generation_goes_back_to_one_that_has_proven_itself() -> None:
    """A new one overtakes the one on trial, and never what is gone back to."""
    closed = {s for s in GenerationState if on_promotion(s) is OnPromotion.CLOSED}
    assert closed == {TRIAL}


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        (BOOTING, MAX_START_FAILURES),
        (SERVING, math.inf),
        (TRIAL, MAX_CANARY_DEATHS),
        (MOVING, MAX_CANARY_DEATHS),
    ],
)
def test_start_failures_count_while_the_generation_has_to_prove_itself(
    state: GenerationState, allowed: float
) -> None:
    assert start_failures_allowed(state) == allowed


def test_a_zygote_is_given_up_only_if_it_never_worked() -> None:
    assert not is_zygote_hopeless(MAX_START_FAILURES - 1, is_proven=False)
    assert is_zygote_hopeless(MAX_START_FAILURES, is_proven=False)
    assert not is_zygote_hopeless(1_000, is_proven=True)
