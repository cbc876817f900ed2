"""What a worker does, and what it asks Redis next: the worker process's own view.

    ASKING  -> RUNNING      Redis has given it a job
    ASKING  -> IDLE         there is no job, or it is paused
    IDLE    -> ASKING       the master wakes it; or it lost its registration
    IDLE    -> RUNNING      a job turns up that an earlier, lost reply had given it
    RUNNING -> ASKING       the child has ended; the run is to be settled
    any     -> GONE         it has left the registry, or gives up

An event without a row changes nothing. Whether the worker is registered, how it is to
stop, and whether it is paused are facts beside the state: they may change in each of
them. `next_request` makes of both what to say to Redis.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from resqued.core.lifecycle import Stop


class WorkerState(StrEnum):
    """What a worker is about; a str, because the hash of a plain member is slow."""

    ASKING = "asking"
    IDLE = "idle"
    RUNNING = "running"
    GONE = "gone"


class WorkerEvent(StrEnum):
    """What can happen to it."""

    JOB = "job"
    NO_JOB = "no job"
    JOB_ENDED = "job ended"
    WOKEN = "woken"
    UNREGISTERED = "unregistered"
    LEFT = "left"


TRANSITIONS: dict[tuple[WorkerState, WorkerEvent], WorkerState] = {
    (WorkerState.ASKING, WorkerEvent.JOB): WorkerState.RUNNING,
    (WorkerState.ASKING, WorkerEvent.NO_JOB): WorkerState.IDLE,
    (WorkerState.ASKING, WorkerEvent.LEFT): WorkerState.GONE,
    (WorkerState.IDLE, WorkerEvent.JOB): WorkerState.RUNNING,
    (WorkerState.IDLE, WorkerEvent.WOKEN): WorkerState.ASKING,
    (WorkerState.IDLE, WorkerEvent.UNREGISTERED): WorkerState.ASKING,
    (WorkerState.IDLE, WorkerEvent.LEFT): WorkerState.GONE,
    (WorkerState.RUNNING, WorkerEvent.JOB_ENDED): WorkerState.ASKING,
    (WorkerState.RUNNING, WorkerEvent.LEFT): WorkerState.GONE,
}


def step(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """Return the state that follows."""
    return TRANSITIONS.get((state, event), state)


class RedisRequest(Enum):
    """What a worker says to Redis next.

    RESERVE settles the last run, if there is one, and takes a job; SETTLE takes none.
    Both answer the job that Redis holds for the worker already. LEAVE needs no Redis.
    """

    NONE = "none"
    REGISTER = "register"
    RESERVE = "reserve"
    SETTLE = "settle"
    UNREGISTER = "unregister"
    LEAVE = "leave"


# hot path: enum-members
_ASKING, _RUNNING, _GONE = WorkerState.ASKING, WorkerState.RUNNING, WorkerState.GONE
_NO_STOP = Stop.NO
_NONE, _RESERVE, _SETTLE = RedisRequest.NONE, RedisRequest.RESERVE, RedisRequest.SETTLE


def next_request(
    state: WorkerState,
    *,
    is_registered: bool,
    stop: Stop,
    is_paused: bool,
    has_unsettled: bool,
) -> RedisRequest:
    """Return what to say to Redis.

    `has_unsettled`: a run has ended and is not settled, or a reply was lost, so that
    Redis may hold a job for this worker that the worker does not know of.
    """
    if state is _RUNNING or state is _GONE:
        return _NONE
    if not is_registered:
        return (
            RedisRequest.REGISTER
            if stop is _NO_STOP or has_unsettled
            else RedisRequest.LEAVE
        )
    takes_jobs = stop is _NO_STOP and not is_paused
    if has_unsettled or (state is _ASKING and takes_jobs):
        return _RESERVE if takes_jobs else _SETTLE
    return _NONE if stop is _NO_STOP else RedisRequest.UNREGISTER
