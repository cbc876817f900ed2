"""Who is woken when something is pushed, and when: a lookout with a real server.

Its workers are no processes here, but the ends of their channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from resqued.core.listening import WAKE_GRACE
from resqued.core.pool_key import PoolKey
from resqued.ipc.channel import socket_pair
from resqued.ipc.messages import to_worker, worker_to_master
from resqued.ipc.scoreboard import Scoreboard
from resqued.log import logger
from resqued.master.queue_watcher import QueueWatcher
from resqued.master.worker_handle import WorkerHandle
from resqued.store.connection import SingleLink
from resqued.store.queue_tracking import RECHECK_EVERY, QueueTracking
from resqued.system.poller import Poller
from resqued.wire import queue_list
from resqued.wire.keys import Keys
from tests.support.wait import wait_until

pytestmark = pytest.mark.server_semantics

INTERVAL = 1000.0
A, B = "resque:queue:a", "resque:queue:b"


class Idle:
    """Idle workers of a queue list each, and a lookout for them, at a time of ours."""

    def __init__(self, url: str, *lists: str) -> None:
        self.now = 0.0
        pairs = [socket_pair() for _ in lists]
        self.ends = [(to_worker(a), worker_to_master(b)) for a, b in pairs]
        self.boards = [Scoreboard.create() for _ in lists]
        self.workers = [
            WorkerHandle(
                ours,
                scoreboard,
                0.0,
                1,
                PoolKey(names, "resque"),
                queue_list.parse(names),
                is_idle=True,
            )
            for names, (ours, _), scoreboard in zip(
                lists, self.ends, self.boards, strict=True
            )
        ]
        self.plain = SingleLink(url)
        self.tracking = QueueTracking(url, Keys("resque"), self.plain, timeout=30)
        self.poller = Poller()
        self.queue_watcher = QueueWatcher(
            self.tracking,
            lambda: INTERVAL,
            lambda: self.workers,
            self.poller,
            logger.get(),
        )

    def turn(self) -> None:
        self.queue_watcher.turn(self.now)

    def hear(self) -> None:
        """Wait for word from the server, and take it in as the master does."""
        ready = wait_until(lambda: self.poller.wait(0), what="word from the server")
        self.poller.call(ready, self.now)

    def woken(self) -> list[int]:
        """The numbers of those that were told to wake, since the last time."""
        return [n for n, (_, end) in enumerate(self.ends) if end.messages()]

    def becomes_idle(self, number: int) -> None:
        self.workers[number].is_idle = True
        self.queue_watcher.poll_now()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def close(self) -> None:
        self.queue_watcher.close()
        self.plain.close()
        for ours, theirs in self.ends:
            ours.close()
            theirs.close()
        for scoreboard in self.boards:
            scoreboard.close()


@pytest.fixture
def idle_of(redis_url: str) -> Iterator[Callable[..., Idle]]:
    """Make idle workers of some queue lists, who have looked at the queues."""
    made: list[Idle] = []

    def make(*lists: str) -> Idle:
        made.append(Idle(redis_url, *lists))
        made[-1].turn()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def three(idle_of: Callable[..., Idle]) -> Idle:
    """Three idle workers of a and b, who have found nothing."""
    made = idle_of("a,b", "a,b", "a,b")
    assert made.woken() == []
    return made


def test_a_push_to_an_empty_queue_wakes_one_before_the_next_look(
    three: Idle, redis: redis_py.Redis
) -> None:
    redis.rpush(A, "job")
    three.hear()
    before = redis.info("commandstats")["cmdstat_llen"]["calls"]
    three.turn()
    assert three.woken() == [0]
    assert redis.info("commandstats")["cmdstat_llen"]["calls"] == before


def test_who_has_taken_the_job_leaves_nothing_for_the_look_after(
    three: Idle, redis: redis_py.Redis
) -> None:
    redis.rpush(A, "job")
    three.hear()
    three.turn()
    redis.lpop(A)
    three.pass_time(WAKE_GRACE)
    three.turn()
    assert three.woken() == [0]


def test_the_look_after_wakes_one_for_each_further_job(
    three: Idle, redis: redis_py.Redis
) -> None:
    redis.rpush(A, "first", "second", "third")
    three.hear()
    three.turn()
    assert three.woken() == [0]
    redis.lpop(A)
    assert three.queue_watcher.due(three.now) == three.now + WAKE_GRACE
    three.pass_time(WAKE_GRACE)
    three.turn()
    assert three.woken() == [1, 2]


def test_who_was_woken_and_did_not_take_the_job_is_made_up_for(
    three: Idle, redis: redis_py.Redis
) -> None:
    redis.rpush(A, "job")
    three.hear()
    three.turn()
    assert three.woken() == [0]
    three.pass_time(WAKE_GRACE)
    three.turn()
    assert three.woken() == [1]


def test_each_queue_that_was_pushed_to_wakes_one(
    three: Idle, redis: redis_py.Redis
) -> None:
    pipe = redis.pipeline()
    pipe.rpush(A, "job")
    pipe.rpush(B, "job")
    pipe.execute()
    woken: list[int] = []
    while len(woken) < 2:  # word of both comes at once, or not
        three.hear()
        three.turn()
        woken += three.woken()
    assert woken == [0, 1]


def wrong_types(idle: Idle, capfd: pytest.CaptureFixture) -> list[str]:
    """Let the master look some times, which wakes worker 0; return what it logs."""
    for _ in range(3):
        idle.pass_time(INTERVAL * 2)
        idle.turn()
    assert idle.woken() == [0]
    log = capfd.readouterr().err
    return re.findall(r"event=queue_wrong_type.* ((?:queue|key)=\S+)", log)


def test_a_queue_whose_key_is_no_list_is_logged_once_by_the_master(
    idle_of: Callable[..., Idle], redis: redis_py.Redis, capfd: pytest.CaptureFixture
) -> None:
    redis.zadd(A, {"other": 1})
    idle = idle_of("a,b", "a")
    redis.zadd(A, {"more": 1})
    redis.rpush(B, "job")
    assert wrong_types(idle, capfd) == ["queue=a"]


def test_a_set_of_names_of_another_type_is_logged_once_and_stops_nothing(
    idle_of: Callable[..., Idle], redis: redis_py.Redis, capfd: pytest.CaptureFixture
) -> None:
    redis.rpush("resque:queues", "x")
    idle = idle_of("a", "b*")
    redis.rpush(A, "job")
    assert wrong_types(idle, capfd) == ["key=resque:queues"]
    redis.delete("resque:queues")
    redis.sadd("resque:queues", "b")
    redis.rpush(B, "job")
    idle.pass_time(INTERVAL * 2)
    idle.turn()
    assert 1 in idle.woken()


def test_a_pop_wakes_nobody(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    redis.rpush(A, "first", "second")
    idle = idle_of("a", "a", "a")
    assert idle.woken() == [0, 1]
    # The third still waits, and is told of each change.
    redis.delete(A)
    idle.hear()
    idle.turn()
    assert idle.woken() == []


def test_nobody_is_woken_for_a_queue_that_it_does_not_serve(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    idle = idle_of("a", "b")
    redis.rpush(B, "job")
    idle.hear()
    idle.turn()
    assert idle.woken() == [1]


def test_a_push_while_all_is_paused_wakes_nobody(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    redis.set("resque:pause-all-workers", "true")
    idle = idle_of("a")
    assert idle.woken() == [0]  # to see that it is so
    idle.becomes_idle(0)
    idle.turn()
    redis.rpush(A, "job")
    idle.hear()
    idle.turn()
    assert idle.woken() == []
    redis.delete("resque:pause-all-workers")
    idle.hear()
    idle.turn()
    assert idle.woken() == [0]


def test_a_server_that_was_emptied_has_all_idle_workers_register_again(
    three: Idle, redis: redis_py.Redis
) -> None:
    redis.flushall()
    three.hear()
    three.turn()
    assert three.woken() == [0, 1, 2]
    for number in range(3):
        three.becomes_idle(number)
    three.turn()
    assert three.woken() == [], "once"
    redis.rpush(A, "job")
    three.hear()
    three.turn()
    assert three.woken() == [0]


def test_a_new_queue_of_a_list_with_wildcards(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    idle = idle_of("*")
    for name in ("new", "ünïcode"):
        redis.sadd("resque:queues", name)
        redis.rpush(f"resque:queue:{name}", "job")
        wait_until(lambda: idle.hear() or idle.turn() or idle.woken() == [0])
        redis.delete(f"resque:queue:{name}")
        idle.becomes_idle(0)
        idle.turn()
        # Known now, and empty: it takes no look any more.
        redis.rpush(f"resque:queue:{name}", "job")
        idle.hear()
        idle.turn()
        assert idle.woken() == [0]
        redis.delete(f"resque:queue:{name}")
        idle.becomes_idle(0)
        idle.turn()


# What no message reports

PAUSE = "resque:pause-all-workers"
LINE = "resque:resqued:line:a"


@pytest.fixture
def other(redis: redis_py.Redis) -> Iterator[redis_py.Redis]:
    """A client of another database of the same server."""
    place = redis.connection_pool.connection_kwargs
    with redis_py.Redis(host=place["host"], port=place["port"], db=9) as client:
        yield client


@pytest.mark.parametrize("queues", ["a", "*"])
def test_jobs_that_swapdb_brings_are_found_a_minute_later(
    queues: str,
    idle_of: Callable[..., Idle],
    redis: redis_py.Redis,
    other: redis_py.Redis,
) -> None:
    # Before the look: a message names no database.
    other.rpush(A, "job")
    other.sadd("resque:queues", "a")
    idle = idle_of(queues)
    redis.swapdb(0, 9)
    idle.pass_time(RECHECK_EVERY + 2 * INTERVAL)
    idle.turn()
    assert idle.woken() == [0]


def test_a_pause_that_ends_without_a_message_is_over_at_the_next_push(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    """As one that expires: the server may find that out minutes later."""
    redis.set(PAUSE, "true")
    idle = idle_of("a")
    assert idle.woken() == [0]
    idle.becomes_idle(0)
    idle.turn()
    redis.swapdb(0, 9)
    redis.rpush(A, "job")
    idle.hear()
    idle.turn()
    assert idle.woken() == [0]


def test_who_does_not_listen_sees_that_a_pause_has_ended(
    idle_of: Callable[..., Idle], redis: redis_py.Redis
) -> None:
    redis.set(PAUSE, "true")
    idle = idle_of("a")
    served = [queue_list.parse("a")]
    assert idle.tracking.peek(served, 0.0).is_paused
    redis.delete(PAUSE)
    assert not idle.tracking.peek(served, 0.0).is_paused
    redis.set(PAUSE, "true")
    assert idle.tracking.look(served, 0.0).is_paused


def test_another_database_that_is_emptied_leaves_one_place_in_each_line(
    idle_of: Callable[..., Idle], redis: redis_py.Redis, other: redis_py.Redis
) -> None:
    # Of other hosts, so that these masters stand in lines.
    redis.hset("resque:resqued:workers", mapping={str(n): "" for n in range(9)})
    fleet = [idle_of("a"), idle_of("a")]
    assert redis.llen(LINE) == 2
    for _ in range(3):
        other.flushdb()
        for master in fleet:
            master.hear()
            master.turn()
            master.becomes_idle(0)
            master.turn()
    assert redis.llen(LINE) == 2
