"""The attempts of a job in Redis: the counter of resque-retry, and what goes with it.

Used by workers, for jobs that have a retry. The name of a job is that of
store.job_identity.
"""

from __future__ import annotations

import math

from msgspec import Struct

from resqued.core.retry import LONGEST_DELAY
from resqued.core.worker_death import FAIL, DeathRules
from resqued.errors import PayloadError
from resqued.store.connection import SingleLink
from resqued.store.job_identity import identity_of
from resqued.store.script import Script
from resqued.wire import delayed_item, json_scan, payload, worker_record
from resqued.wire.keys import Keys, prefix_of

SETTLE_ATTEMPT = Script("settle_attempt")

# How long counters are kept after the delay of an attempt, in seconds: so long may it
# wait on its queue.
_KEPT = 30 * 86_400


class Attempt(Struct, frozen=True):
    """Which attempt of a job a run is: `number` is from 1, or 0 if nobody knows.

    `first_at` is when the first one began, in seconds since the epoch by the clock of
    the server; `age` how long ago that was when this one began. Both are 0 if nobody
    needs to know.
    """

    identity: str
    number: int = 0
    first_at: float = 0.0
    age: float = 0.0

    def encode(self) -> bytes:
        """Return what the child gets."""
        return b"%d %.3f" % (self.number, self.age)


class ChildDeath(Struct, frozen=True):
    """The death of a child in a run: how many in a row set its job aside.

    `limit` is 0 if this one does not count. The names are for the log.
    """

    limit: int
    queue: str
    class_name: str


class AttemptEnd(Struct, frozen=True):
    """What follows a run of a job with a retry, or one that has killed its child.

    `delay` is in seconds; None if no attempt follows. `payload` and `item` are the job,
    as its queue and as the delayed jobs have it. With `records_all` the failed list
    gets the entry of every attempt.
    """

    attempt: Attempt
    delay: float | None = None
    queue: str = ""
    payload: str = ""
    item: str = ""
    records_all: bool = False
    death: ChildDeath | None = None


class AttemptCounters:
    """Reads the counters of one namespace. Raises StoreError."""

    def __init__(self, link: SingleLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def read(self, identity: str, *, with_age: bool) -> Attempt:
        """Return which attempt the next run of a job is."""
        key = self._keys.attempts(identity)
        if not with_age:
            return Attempt(identity, next_attempt(self._link.call("GET", key)))
        (count, first), (seconds, micros) = self._link.pipeline(
            [("MGET", key, self._keys.first_attempt(identity)), ("TIME",)]
        )
        now = int(seconds) + int(micros) / 1e6
        first_at = _time(first, now)
        return Attempt(
            identity, next_attempt(count), first_at, max(0.0, now - first_at)
        )


def _keys_of(keys: Keys, identity: str, queue: str) -> tuple[str, ...]:
    return (
        keys.attempts(identity),
        keys.attempt_failure(identity),
        keys.first_attempt(identity),
        keys.delayed_schedule,
        keys.queues,
        keys.queue(queue),
        keys.followed,
    )


def attempt_words(
    keys: Keys, end: AttemptEnd, entry: bytes, death: bytes = b""
) -> tuple[tuple[str, ...], tuple[str | bytes, ...]]:
    """Return the last keys and arguments of the script: those about attempts.

    `death` is what is kept of the death of the child.
    """
    attempt = end.attempt
    state = "done" if not entry else "failed" if end.delay is None else "retry"
    return (
        _keys_of(keys, attempt.identity, end.queue),
        (
            state,
            entry,
            "all" if end.records_all else "last",
            str(attempt.number or ""),
            f"{end.delay or 0:.6f}",
            str(_KEPT + math.ceil(end.delay or 0)),
            f"{attempt.first_at:.3f}" if attempt.first_at else "",
            prefix_of(keys),
            end.queue,
            end.payload,
            end.item,
            attempt.identity,
            "" if end.death is None else str(end.death.limit),
            death,
        ),
    )


def death_words(
    keys: Keys, record: bytes, deaths: DeathRules, death: bytes
) -> tuple[tuple[str, ...], tuple[str | bytes, ...]]:
    """Return the last keys and arguments of reclaim.lua: what becomes of the job.

    `record` is that of the dead worker, `death` what is kept of its death.
    """
    queue = identity = text = ""
    rule = FAIL
    try:
        held = worker_record.decode_held(record)
    except PayloadError:
        pass  # no job, or none that could be put back
    else:
        queue, identity = held.queue, identity_of(held.payload)
        name = json_scan.class_name(held.payload)
        if not queue or name == payload.PAYLOAD_ERROR:
            identity = ""
        if identity:
            rule = deaths.of(queue, name)
            text = payload.readable(held.payload) if rule.puts_back else ""
    delay = min(rule.delay or 0.0, LONGEST_DELAY)
    return (
        _keys_of(keys, identity, queue),
        (
            rule.action or "fail",
            "all" if deaths.records_all else "last",
            str(rule.times or 0),
            f"{delay:.6f}",
            str(_KEPT + math.ceil(delay)),
            prefix_of(keys),
            queue,
            text,
            delayed_item.encode(text, queue) if text else "",
            identity,
            str(rule.quarantine_after or 0),
            death,
        ),
    )


def next_attempt(count: bytes | None) -> int:
    """Return the number of the next attempt; the counter begins at 0, with the first.

    A counter that is no number counts as none.
    """
    try:
        return max(1, int(count or -1) + 2)
    except ValueError:
        return 1


def _time(text: bytes | None, default: float) -> float:
    try:
        return float(text or default)
    except ValueError:
        return default
