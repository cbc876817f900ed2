"""A queue that is paused on all hosts: nothing of it runs, and it costs no job."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from resqued.client import Client
from resqued.master import wakeups
from tests.support.asking import ask
from tests.support.daemon import Daemon
from tests.support.pool import pool, waiting
from tests.support.wait import wait_until

MANY = 10_000


@pytest.fixture
def client(redis_url: str, redis: redis_py.Redis) -> Iterator[Client]:
    redis.ping()
    with Client(redis_url) as client:
        yield client


def push(redis: redis_py.Redis, queue: str, *numbers: int) -> None:
    """Put jobs on a queue that write their numbers down."""
    redis.sadd("resque:queues", queue)
    for number in numbers:
        job = {"class": "Run", "args": [number]}
        redis.rpush(f"resque:queue:{queue}", json.dumps(job))


def done(redis: redis_py.Redis) -> list[int]:
    return [int(number) for number in redis.lrange("runs", 0, -1)]


def wait_for_runs(redis: redis_py.Redis, numbers: Sequence[int]) -> None:
    wait_until(lambda: sorted(done(redis)) == sorted(numbers), what=f"runs {numbers}")


def wait_for_pause(daemon: Daemon, count: int) -> None:
    """Wait until the master has read that so many queues are paused."""

    def has_read() -> bool:
        return any(e["count"] == count for e in daemon.events("queues_paused"))

    wait_until(has_read, what=f"{count} paused queues")


def calls(redis: redis_py.Redis, command: str) -> int:
    stats: Any = redis.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    return int(stats["calls"])


@pytest.mark.server_semantics
@pytest.mark.parametrize(
    "lists",
    [
        ("held,open", "held"),
        ("*", "held"),
        ("*,!other", "a:held"),
        ("h?ld,*", "held"),
        ("a:*,open", "a:held:low"),
    ],
)
def test_a_paused_queue_waits_until_it_is_resumed(
    client: Client,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
    lists: tuple[str, str],
) -> None:
    queues, paused = lists
    with pool(redis_url, tmp_path, queues=queues) as daemon:
        daemon.wait_for_event("master_ready")
        assert client.pause_queue(paused)
        assert not client.pause_queue(paused), "it was paused"
        wait_for_pause(daemon, 1)
        # The list has the paused queue first, so its jobs would run first.
        for number in range(5):
            push(redis, paused, 100 + number)
            push(redis, "open", number)
            wait_for_runs(redis, range(number + 1))
        assert waiting(redis, paused) == 5
        assert client.paused_queues() == [paused]
        assert client.resume_queue(paused)
        wait_for_runs(redis, [*range(5), *range(100, 105)])
        assert not client.resume_queue(paused)


def test_a_busy_worker_takes_no_further_job_of_a_paused_queue(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with pool(redis_url, tmp_path, queues="held,open") as daemon:
        job = {"class": "Until", "args": [str(gate), 7]}
        redis.rpush("resque:queue:held", json.dumps(job))
        wait_until(lambda: redis.llen("started"), what="the job")
        push(redis, "held", 1, 2, 3)
        push(redis, "open", 4)
        client.pause_queue("held")
        wait_for_pause(daemon, 1)
        gate.touch()
        wait_until(lambda: 4 in done(redis), what="the job of the other queue")
        assert waiting(redis, "held") == 3


def test_a_pause_outlives_a_restart_a_reload_and_a_new_program(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client.pause_queue("held")
    for _ in range(2):
        with pool(redis_url, tmp_path, queues="held,open", workers=2) as daemon:
            daemon.wait_for_event("master_ready")
            _nothing_runs_of_held(redis)
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_event("reload_done")
            _nothing_runs_of_held(redis)
            assert ask(daemon, do="reload", master=True)["ok"]
            _nothing_runs_of_held(redis)


def _nothing_runs_of_held(redis: redis_py.Redis) -> None:
    before, first = waiting(redis, "held"), len(done(redis))
    push(redis, "held", 999)
    for number in range(3):
        push(redis, "open", number)
        wait_until(lambda n=first + number + 1: len(done(redis)) == n, what="a run")
    assert waiting(redis, "held") == before + 1
    assert 999 not in done(redis)


def test_paused_queues_cost_no_command_per_job(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client.pause_queue("held")
    # The history reads the names of all queues once a minute.
    config = '[history]\nresolution = "off"\n'
    with pool(redis_url, tmp_path, queues="*", workers=2, config=config) as daemon:
        daemon.wait_for_event("master_ready")
        push(redis, "held", 999)
        push(redis, "open", 0)
        wait_for_runs(redis, [0])
        redis.config_resetstat()
        for number in range(1, 21):
            push(redis, "open", number)
            wait_for_runs(redis, range(number + 1))
        # Each worker may learn the names of new queues once.
        assert calls(redis, "smembers") <= 2
        # Nor does a job on the paused queue make the master look.
        looks = calls(redis, "llen")
        for _ in range(50):
            push(redis, "held", 999)
        push(redis, "open", 21)
        wait_for_runs(redis, range(22))
        assert calls(redis, "llen") - looks < 25
        assert waiting(redis, "held") == 51


@pytest.mark.parametrize("paused", [3, MANY - 1])
def test_of_ten_thousand_queues_the_paused_ones_wait(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path, paused: int
) -> None:
    names = [f"tenant-with-a-name-{number:05}" for number in range(MANY)]
    pipe = redis.pipeline(transaction=False)
    pipe.sadd("resque:queues", *names)
    pipe.sadd("resque:resqued:paused", *names[:paused])
    pipe.execute()
    sizes = sum(map(len, names[:paused]))
    assert (sizes > wakeups._ROOM) == (paused > 3), "both ways to tell the workers"
    with pool(redis_url, tmp_path, queues="*", workers=2) as daemon:
        daemon.wait_for_event("master_ready")
        for number in range(3):
            push(redis, names[number], 999)
            push(redis, names[-1], number)
            wait_for_runs(redis, range(number + 1))
        assert [waiting(redis, name) for name in names[:3]] == [1, 1, 1]
        client.resume_queue(names[1])
        wait_for_runs(redis, [0, 1, 2, 999])
        assert [waiting(redis, name) for name in names[:3]] == [1, 0, 1]


def test_a_burst_takes_a_paused_queue_for_empty(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client.pause_queue("held")
    push(redis, "held", 999)
    push(redis, "open", 1)
    with pool(redis_url, tmp_path, "--burst", queues="held,open") as daemon:
        assert daemon.wait() == 0
    assert done(redis) == [1]
    assert waiting(redis, "held") == 1


def test_a_server_without_tracking_is_asked_at_the_interval(
    client: Client, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    rules = ("on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    redis.execute_command("ACL", "SETUSER", "untracked", *rules)
    url = redis_url.replace("redis://", "redis://untracked:secret@")
    config = "[worker]\ninterval = 0.5\n"
    try:
        with pool(url, tmp_path, queues="held,open", config=config) as daemon:
            daemon.wait_for_event("redis_without_tracking")
            client.pause_queue("held")
            wait_for_pause(daemon, 1)
            _nothing_runs_of_held(redis)
            client.resume_queue("held")
            wait_until(lambda: not waiting(redis, "held"), what="the resumed job")
    finally:
        redis.execute_command("ACL", "DELUSER", "untracked")


def test_a_server_that_hides_the_set_pauses_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    redis.sadd("resque:resqued:paused", "open")
    rules = (
        *("on", ">secret", "&*", "+@all"),
        *(f"~resque:{name}" for name in ("queue*", "worker*", "stat*", "failed*")),
        *(f"~resque:{name}" for name in ("pause-all-workers", "resqued:workers")),
        *("~resque:pruning*", "~resque:resqued:line*", "~resque:resqued:failed"),
        *("~resque:resqued:write-check", "~resque:delayed*", "~resque:resqued:sch*"),
        *("~resque:resqued:followed", "~resque:resqued:deaths*"),
        *("~resque:resqued:bulk*", "~resque:resqued:outbox*", "~resque:resque:*"),
    )
    redis.execute_command("ACL", "SETUSER", "narrow", *rules)
    url = redis_url.replace("redis://", "redis://narrow:secret@")
    try:
        with pool(url, tmp_path, queues="open", direct_url=redis_url) as daemon:
            daemon.wait_for_event("record_refused")
            push(redis, "open", 1)
            wait_for_runs(redis, [1])
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")


def test_keys_of_resque_pause_are_written_where_it_is_used(
    client: Client, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", "mail", "other")
    client.pause_queue("mail")
    assert not redis.exists("resque:pause:queue:mail")
    client.resume_queue("mail")
    redis.set("resque:pause:queue:other", "true")
    client.pause_queue("mail")
    assert redis.get("resque:pause:queue:mail") == b"true"
    client.resume_queue("mail")
    assert not redis.exists("resque:pause:queue:mail")
    assert redis.exists("resque:pause:queue:other")
