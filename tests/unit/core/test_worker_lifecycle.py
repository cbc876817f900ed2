"""What a worker asks Redis next: the whole table, and what holds for all of it."""

from __future__ import annotations

from itertools import product

import pytest

from resqued.core.lifecycle import Stop
from resqued.core.worker_lifecycle import (
    TRANSITIONS,
    WorkerEvent,
    WorkerState,
    next_request,
    step,
)
from resqued.core.worker_lifecycle import RedisRequest as Request

ASKING, IDLE, RUNNING, GONE = WorkerState
NO, QUIT, TERMINATE = Stop
YES_NO = (False, True)
EVERY = list(product(WorkerState, YES_NO, Stop, YES_NO, YES_NO))


def ask(
    state: WorkerState, registered: bool, stop: Stop, paused: bool, unsettled: bool
) -> Request:
    return next_request(
        state,
        is_registered=registered,
        stop=stop,
        is_paused=paused,
        has_unsettled=unsettled,
    )


@pytest.mark.parametrize(
    ("row", "request_"),
    [
        # At the start, and after somebody else has unregistered it.
        ((ASKING, False, NO, False, False), Request.REGISTER),
        ((ASKING, False, NO, True, False), Request.REGISTER),
        ((IDLE, False, NO, False, False), Request.REGISTER),
        ((ASKING, False, QUIT, False, True), Request.REGISTER),
        ((ASKING, False, QUIT, False, False), Request.LEAVE),
        ((ASKING, False, TERMINATE, True, False), Request.LEAVE),
        # At work.
        ((ASKING, True, NO, False, False), Request.RESERVE),
        ((ASKING, True, NO, False, True), Request.RESERVE),
        ((IDLE, True, NO, False, True), Request.RESERVE),
        ((IDLE, True, NO, False, False), Request.NONE),
        # Paused, or about to leave: it settles, and takes nothing new.
        ((ASKING, True, NO, True, True), Request.SETTLE),
        ((ASKING, True, NO, True, False), Request.NONE),
        ((ASKING, True, QUIT, False, True), Request.SETTLE),
        ((IDLE, True, TERMINATE, False, True), Request.SETTLE),
        ((ASKING, True, QUIT, False, False), Request.UNREGISTER),
        ((IDLE, True, QUIT, True, False), Request.UNREGISTER),
        ((IDLE, True, TERMINATE, False, False), Request.UNREGISTER),
    ],
)
def test_a_worker_asks_for_what_its_state_needs(row: tuple, request_: Request) -> None:
    assert ask(*row) is request_


@pytest.mark.parametrize("row", [r for r in EVERY if r[0] in (RUNNING, GONE)], ids=str)
def test_a_worker_with_a_job_or_without_a_future_asks_nothing(row: tuple) -> None:
    assert ask(*row) is Request.NONE


@pytest.mark.parametrize("row", [r for r in EVERY if r[0] in (ASKING, IDLE)], ids=str)
def test_what_a_worker_asks_never_breaks_a_promise(row: tuple) -> None:
    _, registered, stop, paused, unsettled = row
    request = ask(*row)
    if stop is not NO or paused:
        assert request is not Request.RESERVE, "it was to take no more jobs"
    if unsettled:
        assert request not in (
            Request.NONE,
            Request.LEAVE,
            Request.UNREGISTER,
        ), "a run would be left unsettled"
    if stop is not NO:
        assert request is not Request.NONE, "it would never leave"
    if not registered:
        assert request in (Request.REGISTER, Request.LEAVE)


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        (ASKING, WorkerEvent.JOB, RUNNING),
        (ASKING, WorkerEvent.NO_JOB, IDLE),
        (ASKING, WorkerEvent.WOKEN, ASKING),
        (ASKING, WorkerEvent.UNREGISTERED, ASKING),
        (IDLE, WorkerEvent.JOB, RUNNING),
        (IDLE, WorkerEvent.WOKEN, ASKING),
        (IDLE, WorkerEvent.UNREGISTERED, ASKING),
        (RUNNING, WorkerEvent.JOB_ENDED, ASKING),
        (RUNNING, WorkerEvent.WOKEN, RUNNING),
        (RUNNING, WorkerEvent.UNREGISTERED, RUNNING),
        (RUNNING, WorkerEvent.NO_JOB, RUNNING),
    ],
)
def test_a_worker_goes_from_state_to_state(
    state: WorkerState, event: WorkerEvent, after: WorkerState
) -> None:
    assert step(state, event) is after


@pytest.mark.parametrize("state", WorkerState)
def test_every_state_can_be_left_and_is_left_for_good(state: WorkerState) -> None:
    assert step(state, WorkerEvent.LEFT) is GONE
    assert all(step(GONE, event) is GONE for event in WorkerEvent)


def test_every_state_can_be_reached() -> None:
    assert {*TRANSITIONS.values(), ASKING} == set(WorkerState)
