"""Durations that are no configuration, in seconds, each with its reason.

Tests run with shorter ones where the real ones are not the point: RESQUED_TIMINGS has
them, which is for tests alone.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import fields, replace

# A deadline that never comes. Deadlines are times of the monotonic clock.
NEVER = math.inf


class Timings(Struct, frozen=True):
    """How long each part of the daemon waits, and how often it looks."""

    # Starting workers

    start_window: float = 1.0
    """A worker that dies so soon, with no job, failed to start; a canary is watched
    for so long."""

    # Workers that hang

    redis_timeouts_per_step: float = 10.0
    """A step of a worker waits for several replies of Redis: so many time-outs."""
    min_step_limit: float = 10.0
    """The least limit of a step, for a machine that is busy with other things."""
    closing_limit: float = 5.0
    """A worker that has closed its channel has nothing left to do but exit."""
    inspection_interval: float = 5.0
    """How often to see that every worker makes progress."""
    worker_stack_time: float = 0.2
    """For a stuck worker to write its stack, before it is killed."""

    # Limits of jobs

    sample_interval: float = 0.5
    """How often to see which worker runs what; a new job is first sampled so late."""
    confirm_delay: float = 0.02
    """Two readings so far apart tell a tree that is too large from one that has just
    forked and is about to exec: for that moment all of its memory counts twice."""
    grace_sample_interval: float = 0.04
    """A job may still grow while it is given its grace."""
    worker_patience: float = 2.0
    """Beyond the grace, before the master ends a job that the worker has not ended."""
    kill_patience: float = 8.0
    """No process below a worker has died for so long, although all of its job should:
    the worker is stuck."""

    # Ending jobs, in the worker

    kill_recheck: float = 0.05
    """How often to look whether processes that were killed are gone."""
    reclaim_patience: float = 5.0
    """How long no worker follows one whose job has not been put back or failed yet."""
    job_stack_time: float = 0.1
    """For a child to write its stacks, even if the grace is shorter."""
    tracker_patience: float = 3.0
    """For a resource tracker of multiprocessing to remove shared memory, when the other
    processes of its job are dead. Less than unkillable_patience, which it counts to."""
    unkillable_patience: float = 5.0
    """A process in an uninterruptible wait outlives SIGKILL: when none has died for so
    long, the job is over."""

    # Hooks

    hook_limit: float = 5.0
    """For all hooks of one event of a worker. Less than min_step_limit: a worker waits
    for its hooks within one step."""

    # Moving to a new generation

    yield_patience: float = 1.0
    """A worker that is ordered to leave reports it at once, unless it waits for
    Redis."""
    canary_interval: float = 0.1
    """How often to read the canary's counts: they are in shared memory, which wakes
    nobody."""

    # Failures

    trim_interval: float = 60.0
    """How often to see that lists of failures are within their limits, if any."""

    # The registry

    prune_interval: float = 70.0
    """How often to read the whole registry. Longer than the lock of the pruners lasts
    (60 s), or a lone master would find its own."""

    # Redis

    redis_check_interval: float = 5.0
    """How often the master checks that Redis takes writes: as long as an outage may
    stay out of its status."""

    # Records of masters

    record_interval: float = 60.0
    """How often a master writes its record, which lives for three times as long."""
    live_interval: float = 5.0
    """How often it may write one because the number of its workers has changed: workers
    that are replaced after each job would have it write all the time."""

    detail_interval: float = 2.0
    """How often a master writes the state of its workers while somebody looks."""

    # Delayed jobs

    scheduler_lease: float = 4.0
    """How long the master that moves delayed jobs is elected for; it is elected again
    after half of that. Another takes over within 5 s of its death."""
    scheduler_interval: float = 5.0
    """How often to look for delayed jobs where no message tells of them: on a server
    without tracking, and beside resque-scheduler, which looks as often."""

    # Stopping, answering

    stop_slack: float = 10.0
    """Beyond its own graces, for a worker that is to terminate."""
    reply_interval: float = 0.05
    """How often to see whether what a control request waits for has come about."""
    dump_patience: float = 2.0
    """For a child to write the stacks that `resqued stack` asks for."""


DEFAULT_TIMINGS = Timings()


def read_timings(text: str) -> Timings:
    """Return the defaults with what `text` changes: "start_window=0.5 stop_slack=2".

    Raises ValueError that names the part which is no duration.
    """
    known = {field.name for field in fields(Timings)}
    changes: dict[str, float] = {}
    for part in text.split():
        name, _, value = part.partition("=")
        if name not in known:
            raise _wrong(part, f"names none of {', '.join(sorted(known))}")
        try:
            changes[name] = float(value)
        except ValueError:
            raise _wrong(part, f"is not a name and seconds: {name}=0.5") from None
        if not 0 <= changes[name] < math.inf:
            raise _wrong(part, "has no seconds from 0 upward")
    return replace(DEFAULT_TIMINGS, **changes)


def _wrong(part: str, why: str) -> ValueError:
    return ValueError(f"{part!r} {why}")
