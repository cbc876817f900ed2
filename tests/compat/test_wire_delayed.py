"""Wire cases of resque-scheduler and of node's delayed items (8.1, 8.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from resqued.scheduler.pacing import wait_after
from resqued.store.connection import Link
from resqued.store.due_jobs import DueJobs, Move
from resqued.store.recurring import RecurringJobs
from resqued.wire.keys import Keys
from tests.compat import jobs
from tests.compat.dump import holds
from tests.compat.wire import Case, deviates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

FUTURE = datetime.fromtimestamp(1900000000, UTC)
OK_ITEM = '{"class":"Ok","args":[1],"queue":"default"}'
ONE_DELAYED = """
    resque:delayed:1900000000 = list:
      [0] {"class":"Ok","args":[1],"queue":"default"}
    resque:delayed_queue_schedule = zset {1900000000=1900000000}
    resque:timestamps:{"class":"Ok","args":[1],"queue":"default"} = set \
{delayed:1900000000}
"""


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


@pytest.fixture
def mover(redis_url: str) -> Iterator[DueJobs]:
    mover = DueJobs(redis_url, Keys(), "me", timeout=10)
    mover.open()
    yield mover
    mover.close()


def add(case: Case, time: int, *items: str) -> None:
    """Have items wait, as resque-scheduler does."""
    for item in items:
        case.redis.rpush(f"resque:delayed:{time}", item)
        case.redis.sadd(f"resque:timestamps:{item}", f"delayed:{time}")
    case.redis.zadd("resque:delayed_queue_schedule", {str(time): time})


def move_all(mover: DueJobs) -> list[Move]:
    """Do as a master does until nothing is due."""
    moves = [mover.move(4.0)]
    while wait_after(moves[-1], lease=4.0, poll=5.0, is_tracking=True) == 0.0:
        moves.append(mover.move(4.0))
    return moves


def test_a_job_in_the_future_waits_in_three_keys(case: Case) -> None:
    assert case.client.enqueue_at(FUTURE, jobs.Ok, 1) is True
    assert case.dump() == holds(ONE_DELAYED)


def test_a_job_whose_time_has_come_is_enqueued_at_once(case: Case) -> None:
    assert case.client.enqueue_at(datetime.fromtimestamp(1000, UTC), jobs.Ok, 1)
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
        resque:queues = set {default}
    """)


@deviates("delayed-time")
def test_a_fraction_of_a_second_is_waited_for(case: Case) -> None:
    case.client.enqueue_at(FUTURE - timedelta(seconds=0.6), jobs.Ok, 1)
    assert case.dump() == holds(ONE_DELAYED)


@deviates("cancelled-time")
def test_cancelling_leaves_nothing(case: Case) -> None:
    """By class and arguments, as remove_delayed; and as with its time named."""
    add(case, 1900000000, OK_ITEM)
    assert case.client.cancel_delayed(jobs.Ok, 1) == 1
    assert case.dump() == {}


def test_due_items_go_to_their_queues_without_the_key_queue(
    case: Case, mover: DueJobs
) -> None:
    foreign = '{"class":"py.jobs.Foo","queue":"py","args":[{"a":1}]}'
    add(case, 1700000000, OK_ITEM, foreign)
    move_all(mover)
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
        resque:queue:py = list:
          [0] {"class":"py.jobs.Foo","args":[{"a":1}]}
        resque:queues = set {default | py}
    """)


def test_a_time_whose_list_is_gone_is_cleaned(case: Case, mover: DueJobs) -> None:
    case.redis.zadd("resque:delayed_queue_schedule", {"1700000000": 1700000000})
    move_all(mover)
    assert case.dump() == {}


def test_clearing_leaves_nothing(case: Case) -> None:
    add(case, 1900000000, OK_ITEM)
    add(case, 1900000001, OK_ITEM)
    assert case.client.delayed.clear() == 2
    assert case.dump() == {}


@deviates("delayed-failure")
@pytest.mark.parametrize(
    ("item", "shown", "error"),
    [
        ('{"class":"Ok","args":[1]}',) * 2 + ("delayed item is no job with a queue",),
        (
            "nonsense",
            '{"class":"Resqued::PayloadError","args":["nonsense"]}',
            "delayed item is no job with a queue",
        ),
    ],
)
def test_an_item_without_a_queue_becomes_a_failure(
    item: str, shown: str, error: str, case: Case, mover: DueJobs
) -> None:
    add(case, 1700000000, item, OK_ITEM)
    move_all(mover)
    found = case.dump()
    assert f'"payload":{shown}' in found["resque:failed"]
    assert f'"error":"{error}"' in found["resque:failed"]
    assert found["resque:queue:default"] == 'list:\n[0] {"class":"Ok","args":[1]}'
    assert set(found) == {
        "resque:failed",
        "resque:queue:default",
        "resque:queues",
        "resque:stat:failed",
        "resque:stat:processed",
    }


@pytest.mark.parametrize(
    ("item", "payload"),
    [
        # Numbers and escapes keep their bytes; Ruby would write them again.
        (
            '{"class":"Ok","args":[1.0,12345678901234567890,"\\u00e9",[],{}],"queue":"q"}',
            '{"class":"Ok","args":[1.0,12345678901234567890,"\\u00e9",[],{}]}',
        ),
        # Of resqued, with limits.
        (
            '{"class":"Ok","args":[],"limits":{"runtime":3},"queue":"q"}',
            '{"class":"Ok","args":[],"limits":{"runtime":3}}',
        ),
        # The words of the ends of an item, in other places.
        (
            '{"class":"Ok","args":[",\\"queue\\":\\"x\\"}"],"queue":"q"}',
            '{"class":"Ok","args":[",\\"queue\\":\\"x\\"}"]}',
        ),
        (
            '{"class":"Ok","args":[{"a":1,"queue":"x"}],"queue":"q"}',
            '{"class":"Ok","args":[{"a":1,"queue":"x"}]}',
        ),
        (
            '{"class":"Ok","queue":"q","args":{"a":1,"queue":"x"}}',
            '{"class":"Ok","args":{"a":1,"queue":"x"}}',
        ),
        # None of the usual forms.
        (
            '{"class": "Ok", "args": [1], "queue": "q", "enqueue_timestamp": 1.5}',
            '{"class":"Ok","args":[1],"enqueue_timestamp":1.5}',
        ),
        ('{"queue":"q","args":[1],"class":"Ok"}', '{"args":[1],"class":"Ok"}'),
        (
            '{"class":"\\u004fk","args":[1],"queue":"\\u0071"}',
            '{"class":"Ok","args":[1]}',
        ),
    ],
)
def test_items_of_every_form_lose_their_queue_alone(
    item: str, payload: str, case: Case, mover: DueJobs
) -> None:
    add(case, 1700000000, item)
    move_all(mover)
    assert case.redis.lrange("resque:queue:q", 0, -1) == [payload.encode()]
    assert set(case.dump()) == {"resque:queue:q", "resque:queues"}


def test_a_queue_of_another_type_stops_no_other_item(
    case: Case, mover: DueJobs
) -> None:
    case.redis.sadd("resque:queue:odd", "x")
    add(case, 1700000000, '{"class":"Ok","args":[],"queue":"odd"}', OK_ITEM)
    moves = move_all(mover)
    assert any("WRONGTYPE" in reason for _, reason in (m.odd for m in moves))
    assert case.redis.llen("resque:failed") == 1
    assert case.redis.llen("resque:queue:default") == 1
    assert not case.redis.exists("resque:delayed_queue_schedule")


def test_a_time_whose_key_is_no_list_stops_no_other(case: Case, mover: DueJobs) -> None:
    case.redis.set("resque:delayed:1600000000", "x")
    case.redis.zadd("resque:delayed_queue_schedule", {"1600000000": 1600000000})
    add(case, 1700000000, OK_ITEM)
    move_all(mover)
    assert case.redis.llen("resque:queue:default") == 1
    assert case.redis.get("resque:delayed:1600000000") == b"x"


@deviates("scheduler-lease")
def test_resque_scheduler_is_left_alone_while_it_has_its_lock(
    case: Case, mover: DueJobs
) -> None:
    case.redis.set("resque:resque:resque_scheduler_master_lock", "ruby:1", ex=180)
    add(case, 1700000000, OK_ITEM)
    assert mover.move(4.0).state == "foreign"
    assert case.redis.llen("resque:delayed:1700000000") == 1
    assert not case.redis.exists("resque:resqued:scheduler")
    case.redis.delete("resque:resque:resque_scheduler_master_lock")
    add(case, 1900000000, OK_ITEM)
    move_all(mover)
    assert case.redis.get("resque:resqued:scheduler") == b"me"
    assert 0 < case.redis.pttl("resque:resqued:scheduler") <= 4000
    assert case.redis.llen("resque:queue:default") == 1


TICK = '{"class":"Ok","every":"1h"}'


def test_only_schedules_that_persist_are_read_from_redis(case: Case) -> None:
    """What set_schedule and remove_schedule of resque-scheduler leave is left alone."""
    recurring = RecurringJobs(Link(case.url, namespace="resque"), Keys())
    changed = {"resque:schedules_changed": "set {tick}"}
    case.redis.sadd("resque:schedules_changed", "tick")
    assert recurring.dynamic() == {}
    case.redis.hset("resque:persistent_schedules", "tick", TICK)
    assert [*recurring.dynamic()] == ["tick"]
    case.redis.hdel("resque:persistent_schedules", "tick")
    assert recurring.dynamic() == {}
    assert case.dump() == changed
