"""Delayed jobs, by the library: put, found, cancelled, run; and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_py

import resqued
from resqued.store.due_jobs import DueJobs
from resqued.wire.keys import Keys
from tests.support import jobs

pytestmark = pytest.mark.server_semantics

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_delay_ends_at_the_next_whole_second_of_the_server(
    client: resqued.Client, redis: redis_py.Redis
) -> None:
    seconds, _ = redis.time()
    assert client.enqueue_in("10m", jobs.run, 44)
    (found,) = client.delayed
    assert seconds + 600 <= int(found.time) <= redis.time()[0] + 601
    assert (found.queue, found.class_name, found.args) == ("default", "Run", (44,))
    assert found.due_at == datetime.fromtimestamp(int(found.time), UTC)


def test_no_job_is_due_before_its_time(client: resqued.Client) -> None:
    client.enqueue_at(FAR + timedelta(seconds=0.3), jobs.run, 1)
    (found,) = client.delayed
    assert int(found.time) == FAR.timestamp() + 1


@pytest.mark.parametrize("delay", [0, "0s", timedelta(0)])
def test_no_delay_is_an_ordinary_enqueue(delay: float, client: resqued.Client) -> None:
    client.enqueue_in(delay, jobs.run, 1)
    assert client.peek("default") == [{"class": "Run", "args": [1]}]
    assert client.delayed.count() == 0


def test_the_queue_may_be_named(client: resqued.Client) -> None:
    client.enqueue_in_with_queue("low", 60, jobs.run, number=1)
    client.enqueue_at_with_queue("high", FAR, "Mail::Send", "x")
    assert [(job.queue, job.class_name, job.args) for job in client.delayed] == [
        ("low", "Run", (1,)),
        ("high", "Mail::Send", ("x",)),
    ]


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        (datetime(2100, 1, 1), "no time zone: write"),
        (1900000000, "not a datetime"),
        ("2100-01-01", "not a datetime"),
    ],
)
def test_a_time_without_a_zone_is_refused(
    when: datetime, problem: str, client: resqued.Client, redis: redis_py.Redis
) -> None:
    with pytest.raises(resqued.ArgumentError, match=problem):
        client.enqueue_at(when, jobs.run, 1)
    assert redis.keys() == []


@pytest.mark.parametrize("delay", [-1, "soon", "99999999d", float("nan")])
def test_a_delay_that_is_none_is_refused(
    delay: float, client: resqued.Client, redis: redis_py.Redis
) -> None:
    with pytest.raises(resqued.ArgumentError, match="delay"):
        client.enqueue_in(delay, jobs.run, 1)
    assert redis.keys() == []


def test_what_enqueue_refuses_is_refused(client: resqued.Client) -> None:
    with pytest.raises(resqued.ArgumentError):
        client.enqueue_in("1s", jobs.run)  # type: ignore[call-arg]
    with pytest.raises(resqued.QueueNameError):
        client.enqueue_in_with_queue("a*", "1s", jobs.run, 1)


def test_inline_runs_it_at_once(redis_url: str, redis: redis_py.Redis) -> None:
    ran = []
    job = resqued.job(name="Inline.at_once", queue="q")(ran.append)
    with resqued.Client(redis_url, inline=True) as client:
        client.enqueue_in("1h", job, 1)
        client.enqueue_many_later([(2,)], job=job, at=FAR)
    assert ran == [1, 2]
    assert redis.keys() == []


def test_many_at_once(client: resqued.Client) -> None:
    numbers = range(2_500)
    assert client.enqueue_many_later(((n,) for n in numbers), job=jobs.run, at=FAR) == (
        2_500
    )
    assert client.enqueue_many_later([("X", 1)], queue="q", delay="1h") == 1
    assert client.delayed.count() == 2_501
    first, *others = client.delayed.page(0, 3)
    assert (first.class_name, [job.args for job in others]) == ("X", [(0,), (1,)])
    assert [job.args for job in client.delayed.page(2_499, 9)] == [(2_498,), (2_499,)]
    assert [job.args for job in client.delayed if job.queue == "default"] == [
        (n,) for n in numbers
    ]
    with pytest.raises(resqued.ArgumentError, match="delay or at"):
        client.enqueue_many_later([], job=jobs.run)
    assert client.delayed.clear() == 2_501


def test_jobs_are_found_cancelled_and_run_by_class_and_arguments(
    client: resqued.Client, redis: redis_py.Redis
) -> None:
    for when in (FAR, FAR, FAR + timedelta(days=1)):
        client.enqueue_at(when, jobs.run, 1)
    client.enqueue_at(FAR, jobs.run, 2)
    client.enqueue_at_with_queue("low", FAR, jobs.run, 1)
    redis.rpush(
        "resque:delayed:4102444800", '{"class":"Run","queue":"default","args":[1]}'
    )
    redis.sadd(
        'resque:timestamps:{"class":"Run","queue":"default","args":[1]}',
        "delayed:4102444800",
    )
    redis.sadd(
        'resque:timestamps:{"class":"Run","args":[2],"queue":"default"}', "delayed:soon"
    )
    redis.rpush("resque:delayed:soon", '{"class":"Run","args":[2],"queue":"default"}')
    assert len(client.find_delayed(jobs.run, 2)) == 2
    redis.delete("resque:delayed:soon")
    redis.srem(
        'resque:timestamps:{"class":"Run","args":[2],"queue":"default"}', "delayed:soon"
    )
    assert len(client.find_delayed(jobs.run, 1)) == 4
    assert len(client.find_delayed(jobs.run)) == 6
    assert len(client.find_delayed("Run", 1)) == 5
    assert len(client.find_delayed("Run", queue="low")) == 1
    assert client.cancel_delayed(jobs.run, 1) == 4
    assert client.cancel_delayed(jobs.run, 1) == 0
    assert client.run_delayed(jobs.run) == 2
    assert client.delayed.count() == 0
    assert client.queue_sizes() == {"default": 1, "low": 1}
    assert not [
        key for key in redis.scan_iter() if b"delayed" in key or b"times" in key
    ]


def test_an_item_that_is_gone_is_neither_cancelled_nor_run(
    client: resqued.Client,
) -> None:
    client.enqueue_at(FAR, jobs.run, 1)
    (job,) = client.delayed
    assert client.delayed.cancel(job)
    assert not client.delayed.cancel(job)
    assert not client.delayed.run_now(job)
    assert client.queues() == []


def test_a_million_times_cost_no_more_than_one(
    client: resqued.Client, redis: redis_py.Redis, redis_url: str
) -> None:
    """The commands of a look are counted: they are the same for 1 and for 20,000."""
    mover = DueJobs(redis_url, Keys(), "me", timeout=30)
    mover.open()

    def cost() -> dict[str, int]:
        redis.config_resetstat()
        mover.move(4.0)
        found = redis.info("commandstats")
        return {name: value["calls"] for name, value in found.items()}

    client.enqueue_at(FAR, jobs.run, 0)
    mover.move(4.0)
    one = cost()
    client.enqueue_many_later(((n,) for n in range(2_000)), job=jobs.run, at=FAR)
    redis.zadd(
        "resque:delayed_queue_schedule",
        {str(n): n for n in range(4_200_000_000, 4_200_020_000)},
    )
    mover.move(4.0)
    assert cost() == one
    mover.close()


def test_a_batch_is_bounded_by_items_and_by_bytes(
    client: resqued.Client, redis: redis_py.Redis, redis_url: str
) -> None:
    mover = DueJobs(redis_url, Keys(), "me", timeout=30)
    mover.open()
    past = int(time.time()) - 10
    item = '{"class":"X","args":["%s"],"queue":"q"}'
    redis.rpush(f"resque:delayed:{past}", *[item % n for n in range(1_200)])
    redis.zadd("resque:delayed_queue_schedule", {str(past): past})
    assert [mover.move(4.0).moved for _ in range(4)] == [500, 500, 200, 0]
    redis.rpush(f"resque:delayed:{past}", *[item % ("x" * 400_000)] * 9)
    redis.zadd("resque:delayed_queue_schedule", {str(past): past})
    assert mover.move(4.0).moved < 9
    mover.close()


def test_the_second_master_stands_by_until_the_lease_ends(
    client: resqued.Client, redis: redis_py.Redis, redis_url: str
) -> None:
    one, two = (DueJobs(redis_url, Keys(), name, timeout=30) for name in ("a", "b"))
    one.open()
    two.open()
    client.enqueue_at(FAR, jobs.run, 0)
    assert one.move(4.0).state == "elected"
    move = two.move(4.0)
    assert (move.state, 0 < move.holds <= 4.0) == ("standby", True)
    redis.delete("resque:resqued:scheduler")
    assert two.move(4.0).state == "elected"
    assert one.move(4.0).state == "standby"
    client.delayed.clear()
    assert two.move(4.0).state == "idle"
    assert redis.keys() == []
    one.close()
    two.close()
