"""A worker as its master sees it: states, exits, start failures, steps that hang."""

from __future__ import annotations

import pytest

from resqued.core.exit_status import Exit
from resqued.core.supervised_worker import (
    HAS_YIELDED,
    REGISTERED,
    Death,
    SupervisedEvent,
    SupervisedState,
    WorkerStep,
    is_good_exit,
    is_start_failure,
    is_step_overdue,
    step,
    step_limit,
)
from resqued.core.timings import Timings

S, E = SupervisedState, SupervisedEvent
TIMINGS = Timings(start_window=1.0, min_step_limit=10.0, redis_timeouts_per_step=10.0)

# A row: a state, and what events make of it; an event that is not named changes
# nothing.
TABLE = {
    S.FORKED: {E.HELLO: S.STARTING, E.ORDERED_TO_LEAVE: S.LEAVING},
    S.STARTING: {
        E.REGISTERED: S.READY,
        E.ID_TAKEN: S.REFUSED,
        E.ORDERED_TO_LEAVE: S.LEAVING,
        E.NO_MORE_JOBS: S.YIELDED,
    },
    S.READY: {
        E.ID_TAKEN: S.REFUSED,
        E.ORDERED_TO_LEAVE: S.LEAVING,
        E.NO_MORE_JOBS: S.YIELDED,
        E.QUEUES_EMPTY: S.FINISHED,
    },
    S.REFUSED: {},
    S.LEAVING: {E.NO_MORE_JOBS: S.YIELDED, E.QUEUES_EMPTY: S.FINISHED},
    S.YIELDED: {E.QUEUES_EMPTY: S.FINISHED},
    S.FINISHED: {},
    S.GONE: {},
}


@pytest.mark.parametrize("state", SupervisedState)
@pytest.mark.parametrize("event", SupervisedEvent)
def test_every_event_in_every_state(
    state: SupervisedState, event: SupervisedEvent
) -> None:
    after = S.GONE if event is E.EXITED else TABLE[state].get(event, state)
    assert step(state, event) is after


def test_a_worker_that_takes_no_more_jobs_stays_so() -> None:
    for state in HAS_YIELDED:
        assert {step(state, event) for event in SupervisedEvent} <= HAS_YIELDED


@pytest.mark.parametrize("state", SupervisedState)
@pytest.mark.parametrize("is_stopping", [False, True])
def test_an_exit_is_good_if_it_was_to_be_expected(
    state: SupervisedState, is_stopping: bool
) -> None:
    is_expected = state in REGISTERED or is_stopping
    assert is_good_exit(state, Exit(0), is_stopping=is_stopping) is (
        is_expected and state is not S.REFUSED
    )
    for code in (1, 70, -9, -11):
        assert not is_good_exit(state, Exit(code), is_stopping=is_stopping)


@pytest.mark.parametrize("at", WorkerStep)
@pytest.mark.parametrize("state", [S.FORKED, S.STARTING, S.REFUSED])
def test_a_worker_that_was_never_ready_failed_to_start(
    state: SupervisedState, at: WorkerStep
) -> None:
    for code in (0, 1, -9):
        death = Death(Exit(code), at, age=3600.0)
        assert is_start_failure(state, death, is_on_trial=False, timings=TIMINGS)


@pytest.mark.parametrize(
    ("code", "at", "age", "is_on_trial", "is_failure"),
    [
        # It left by itself, at once: it did not do so for its job.
        (1, WorkerStep.RUNNING, 0.5, False, True),
        (70, WorkerStep.OTHER, 0.5, False, True),
        # It was killed without a job.
        (-9, WorkerStep.WAITING, 0.5, False, True),
        # It was killed with a job in reach: it is replaced at once, however often.
        (-9, WorkerStep.RESERVING, 0.5, False, False),
        (-9, WorkerStep.RUNNING, 0.5, False, False),
        (-9, WorkerStep.OTHER, 0.5, False, False),
        # On trial the reservation itself is suspected.
        (-9, WorkerStep.RESERVING, 0.5, True, True),
        (-9, WorkerStep.RUNNING, 0.5, True, False),
        # Later nothing of it is a matter of the start.
        (1, WorkerStep.RUNNING, 1.0, True, False),
        (-9, WorkerStep.WAITING, 1.0, True, False),
    ],
)
def test_a_ready_worker_fails_to_start_if_it_dies_soon_and_not_of_its_work(
    code: int, at: WorkerStep, age: float, is_on_trial: bool, is_failure: bool
) -> None:
    death = Death(Exit(code), at, age)
    for state in REGISTERED:
        found = is_start_failure(state, death, is_on_trial=is_on_trial, timings=TIMINGS)
        assert found is is_failure


@pytest.mark.parametrize(("timeout", "limit"), [(0.1, 10.0), (1.0, 10.0), (3.0, 30.0)])
def test_a_step_may_take_several_time_outs_of_redis(
    timeout: float, limit: float
) -> None:
    assert step_limit(timeout, TIMINGS) == limit


@pytest.mark.parametrize(
    ("at", "age", "is_overdue"),
    [
        (WorkerStep.RESERVING, 30.0, False),
        (WorkerStep.RESERVING, 30.1, True),
        (WorkerStep.OTHER, 30.1, True),
        (WorkerStep.WAITING, 150.0, False),
        (WorkerStep.WAITING, 150.1, True),
        (WorkerStep.RUNNING, 1e9, False),
    ],
)
def test_no_step_but_a_job_takes_longer_than_its_limit(
    at: WorkerStep, age: float, is_overdue: bool
) -> None:
    found = is_step_overdue(at, age, redis_timeout=3.0, heartbeat=60.0, timings=TIMINGS)
    assert found is is_overdue
