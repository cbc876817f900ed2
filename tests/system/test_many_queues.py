"""A queue per customer: what a job costs when there are thousands of queues."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.daemon import Daemon
from tests.support.wait import wait_until

QUEUES = 5_000
JOB = json.dumps({"class": "Noop", "args": []})
# Of reserve.lua, which has ten keys beside those of the queues to try.
MOST_KEYS = 110
# A master that could not reach Redis in time has another connection, as on a busy
# machine.
LOSSES = ("redis_lost", "redis_reconnected")


@pytest.fixture
def many(redis: redis_py.Redis) -> redis_py.Redis:
    pipe = redis.pipeline(transaction=False)
    for number in range(QUEUES):
        pipe.sadd("resque:queues", f"tenant-{number:05}")
    pipe.execute()
    return redis


def workers(tmp_path: Path, redis_url: str, *args: str) -> Daemon:
    options = ("-a", "tests.support.jobs", "-r", redis_url)
    env = {"TEST_REDIS_URL": redis_url}
    # The history reads all lengths once a minute.
    file = tmp_path / "no-history.toml"
    file.write_text('[history]\nresolution = "off"\n')
    return Daemon("*", "-c", str(file), *args, *options, cwd=tmp_path, env=env)


def done(redis: redis_py.Redis) -> int:
    return int(redis.get("resque:stat:processed") or 0)


def calls(redis: redis_py.Redis, command: str) -> int:
    stats = redis.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    return int(stats["calls"])


def most_keys(redis: redis_py.Redis) -> int:
    """The most keys that a script was called with, of the calls in the slow log."""
    scripts = [
        entry["command"].split()
        for entry in redis.slowlog_get(20_000)
        if entry["command"].lower().startswith(b"evalsha")
    ]
    return max(int(words[2]) for words in scripts)


def test_a_job_costs_no_script_over_all_queues(
    many: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    jobs = 100
    many.config_resetstat()
    with workers(tmp_path, redis_url, "-n", "2") as daemon:
        assert daemon.is_running()
        wait_until(lambda: many.scard("resque:workers") == 2, what="workers")
        # One look, at the start, reads all lengths.
        wait_until(lambda: calls(many, "llen") >= QUEUES, what="a look")
        many.config_resetstat()
        many.config_set("slowlog-log-slower-than", 0)
        many.config_set("slowlog-max-len", 20_000)
        try:
            for number in range(jobs):
                many.rpush(f"resque:queue:tenant-{number * 7:05}", JOB)
            wait_until(lambda: done(many) == jobs, what="all jobs")
            assert most_keys(many) <= MOST_KEYS
        finally:
            many.config_set("slowlog-log-slower-than", 10_000)
            many.slowlog_reset()
        losses = sum(len(daemon.events(name)) for name in LOSSES)
        # What has not changed is not read again, but by a new connection.
        assert calls(many, "llen") < QUEUES * (1 + losses), losses


def test_a_lost_connection_costs_one_look_at_all_queues(
    many: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    """Idle workers, which may have to register again, leave the lengths to the master.

    Each once read them all.
    """
    with workers(tmp_path, redis_url, "-n", "4"):
        wait_until(lambda: many.scard("resque:workers") == 4, what="workers")
        wait_until(lambda: calls(many, "llen") >= QUEUES, what="a look")
        many.config_resetstat()
        # That of the master, which is subscribed to calls.
        many.client_kill_filter(_type="pubsub")
        wait_until(lambda: calls(many, "llen") >= QUEUES, what="another look")
        many.rpush("resque:queue:tenant-00007", JOB)
        wait_until(lambda: done(many) == 1, what="the job")
        assert calls(many, "llen") < 2 * QUEUES


def test_the_list_s_order_holds_among_many_queues(
    many: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    names = [f"tenant-{number:05}" for number in (4000, 17, 2500, 0)]
    for name in names:
        job = {"class": "Run", "args": [int(name[-5:])]}
        many.rpush(f"resque:queue:{name}", json.dumps(job))
    with workers(tmp_path, redis_url, "--burst") as daemon:
        assert daemon.wait() == 0
    assert many.lrange("runs", 0, -1) == [b"0", b"17", b"2500", b"4000"]


def test_queues_that_appear_all_the_time_stop_no_worker(
    many: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    is_over = threading.Event()

    def produce() -> None:
        with redis_py.Redis.from_url(redis_url) as mine:
            number = 0
            while not is_over.wait(0.02):
                number += 1
                mine.sadd("resque:queues", f"new-{number}")
                mine.rpush(f"resque:queue:new-{number}", JOB)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        with workers(tmp_path, redis_url) as daemon:
            wait_until(lambda: done(many) >= 100, what="a hundred jobs")
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 0
            assert daemon.events("worker_stuck") == []
    finally:
        is_over.set()
        producer.join()
