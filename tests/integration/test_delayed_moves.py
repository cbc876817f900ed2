"""Moving delayed items while whoever moves them dies after any of its commands."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resqued.errors import StoreError
from resqued.scheduler.pacing import wait_after
from resqued.store.due_jobs import DueJobs
from resqued.wire.keys import Keys

pytestmark = pytest.mark.server_semantics

# Ours, node's, pyres's, without a queue, no job at all.
FORMS = (
    '{"class":"Job","args":[%d],"queue":"%s"}',
    '{"class":"Job","queue":"…","args":[…]}',
    '{"class": "Job", "args": [%d], "queue": "%s"}',
    '{"class":"Job","args":[%d]}',
    "no job %d",
)


class MortalError(StoreError):
    """The process was killed here."""


class MortalJobs(DueJobs):
    """Dies at a command: before it is sent, or before its reply is read."""

    def __init__(self, *args: Any, lives: int, is_sent: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lives = lives
        call = self._link.call

        def mortal(*command: Any) -> Any:
            self.lives -= 1
            if self.lives > 0:
                return call(*command)
            if is_sent:
                call(*command)
            raise MortalError

        self._link.call = mortal  # type: ignore[method-assign]


def text_of(form: int, number: int, queue: str) -> str:
    if form == 1:
        return f'{{"class":"Job","queue":"{queue}","args":[{number}]}}'
    shape = FORMS[form]
    return shape % ((number, queue) if shape.count("%") == 2 else number)


items = st.lists(
    st.tuples(
        st.integers(0, len(FORMS) - 1),
        st.sampled_from(["a", "b", "odd"]),
        st.sampled_from([1_600_000_000, 1_600_000_001]),
    ),
    max_size=12,
)
deaths = st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=items, deaths=deaths)
def test_each_item_is_in_one_place_whatever_dies_when(
    items: list[tuple[int, str, int]],
    deaths: list[tuple[int, bool]],
    redis: redis_py.Redis,
    redis_url: str,
) -> None:
    redis.flushdb()
    redis.set("resque:queue:odd", "no list")
    for number, (form, queue, time) in enumerate(items):
        text = text_of(form, number, queue)
        redis.rpush(f"resque:delayed:{time}", text)
        redis.sadd(f"resque:timestamps:{text}", f"delayed:{time}")
        redis.zadd("resque:delayed_queue_schedule", {str(time): time})
    for lives, is_sent in deaths:
        with suppress(MortalError):
            go_on(
                MortalJobs(
                    redis_url, Keys(), "me", timeout=10, lives=lives, is_sent=is_sent
                )
            )
        found = places(redis)
        assert sum(found.values()) == len(items)
    go_on(DueJobs(redis_url, Keys(), "me", timeout=10))
    good = [(form, queue) for form, queue, _ in items if form < 3 and queue != "odd"]
    assert (
        places(redis)
        == Counter(
            {
                **Counter(f"queue:{queue}" for _, queue in good),
                **Counter(failed=len(items) - len(good)),
            }
        )
        + Counter()
    )
    left = {b"queue:odd", b"queue:a", b"queue:b", b"queues", b"failed"}
    left |= {b"stat:failed", b"stat:processed"}
    assert {key.removeprefix(b"resque:") for key in redis.scan_iter()} <= left


def go_on(jobs: DueJobs) -> None:
    """Do as a master does, until nothing waits."""
    try:
        jobs.open()
        for _ in count():
            move = jobs.move(4.0)
            if wait_after(move, lease=4.0, poll=5.0, is_tracking=True) > 0.0:
                return
    finally:
        jobs.close()


def places(redis: redis_py.Redis) -> Counter[str]:
    """Return how many items are where."""
    lists = {key.decode() for key in redis.scan_iter() if redis.type(key) == b"list"}
    return Counter({key.removeprefix("resque:"): redis.llen(key) for key in lists})
