"""What masters publish of themselves in Redis."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis as redis_py

from resqued.store.connection import Link
from resqued.store.master_records import MasterRecords
from resqued.wire.keys import Keys
from resqued.wire.master_record import MasterRecord
from tests.support.asking import ask
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import wait_until


def records(url: str, namespace: str = "resque") -> list[MasterRecord]:
    link = Link(url, namespace=namespace)
    try:
        return MasterRecords(link, Keys(namespace)).read()
    finally:
        link.close()


def wait_for_record(
    url: str, has: Callable[[MasterRecord], bool] = lambda _: True, what: str = ""
) -> MasterRecord:
    """Return the record of the only master, once it has what is wanted."""

    def found() -> MasterRecord | None:
        each = records(url)
        return each[0] if len(each) == 1 and has(each[0]) else None

    return wait_until(found, what=f"a record {what}")


def test_a_master_says_what_it_is_and_takes_that_back(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    url = redis_url.replace("redis://", "redis://default:secret-word@")
    redis.config_set("requirepass", "secret-word")
    try:
        with Daemon(
            *("critical,a:b,!low", "-n", "2", "-r", url, "-a", "tests.support.jobs"),
            cwd=tmp_path,
            env={"TEST_REDIS_URL": url},
        ) as daemon:
            daemon.wait_for_event("master_ready")
            record = wait_for_record(url)
            assert record.pid == daemon.pid
            assert record.id == f"{record.host}:{daemon.pid}"
            assert (record.state, record.is_paused) == ("running", False)
            (served,) = record.pools
            assert served.queues == ("critical", "a:b")
            assert served.exclusions == ("low",)
            assert (served.wanted, served.live) == (2, 2)
            raw = redis.get(f"resque:resqued:master:{record.id}")
            assert isinstance(raw, bytes)
            assert b"secret-word" not in raw
            assert 100 < redis.ttl(f"resque:resqued:master:{record.id}") <= 180
            daemon.signal(signal.SIGUSR2)
            wait_for_record(url, lambda r: r.is_paused, "of a paused master")
            daemon.signal(signal.SIGTTIN)
            wait_for_record(url, lambda r: r.pools[0].wanted == 3, "of three workers")
            daemon.signal(signal.SIGHUP)
            after = wait_for_record(
                url, lambda r: r.last_reload is not None, "after a reload"
            )
            assert after.last_reload is not None
            assert after.last_reload.outcome == "done"
            assert after.generation == 2
        assert not redis.exists("resque:resqued:masters")
        assert not redis.keys("resque:resqued:master:*")
    finally:
        redis.config_set("requirepass", "")


def test_a_server_that_has_lost_its_data_gets_the_record_again(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path):
        wait_for_record(redis_url)
        redis.flushall()
        wait_for_record(redis_url)


def test_a_master_that_stops_says_so_while_its_jobs_go_on(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        job: dict[str, Any] = {"class": "Sleep", "args": [30]}
        redis.rpush("resque:queue:default", json.dumps(job))
        wait_until(lambda: redis.llen("started"), what="the job")
        daemon.signal(signal.SIGQUIT)
        wait_for_record(redis_url, lambda r: r.state == "quitting", "that quits")
        daemon.signal(signal.SIGTERM)
        daemon.wait()


def test_ids_without_a_record_go_when_a_master_starts(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    redis.sadd("resque:resqued:masters", "gone:1", "odd:2")
    redis.set("resque:resqued:master:odd:2", "no record")
    with pool(redis_url, tmp_path) as daemon:
        wait_until(
            lambda: not redis.sismember("resque:resqued:masters", "gone:1"),
            what="the end of the id",
        )
        assert [record.pid for record in records(redis_url)] == [daemon.pid]


def test_the_jobs_of_the_application_are_described_once_per_generation(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    def hsets() -> int:
        entries = redis.slowlog_get(10_000)
        return sum(
            e["command"].startswith(b"HSET resque:resqued:jobs") for e in entries
        )

    redis.config_set("slowlog-log-slower-than", 0)
    redis.config_set("slowlog-max-len", 10_000)
    redis.slowlog_reset()
    try:
        with pool(redis_url, tmp_path) as daemon:
            wait_for_record(redis_url)
            wait_until(lambda: redis.exists("resque:resqued:jobs"), what="the jobs")
            sleep = json.loads(redis.hget("resque:resqued:jobs", "Sleep") or b"")
            assert sleep["parameters"] == ["seconds", "number"]
            assert sleep["limits"] == {"runtime": None, "memory": None}
            daemon.signal(signal.SIGUSR2)
            wait_for_record(redis_url, lambda r: r.is_paused, "of a paused master")
            assert hsets() == 1
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: hsets() == 2, what="the jobs of the new generation")
        assert hsets() == 2
    finally:
        redis.config_set("slowlog-log-slower-than", 10_000)
        redis.slowlog_reset()


# What a master may say of pauses and onlookers when there are none: nothing.
QUIET = (b"resqued:watch", b"resqued:paused", b"resqued:detail", b"resqued:master")


def words_of(redis: redis_py.Redis, checks: int) -> list[bytes]:
    """Return the commands of all clients, until the master has checked its server."""
    found: list[bytes] = []
    with redis.monitor() as monitor:
        for command in monitor.listen():
            found.append(command["command"].encode())
            if sum(b"resqued:write-check" in each for each in found) == checks:
                return found
    raise AssertionError("the server has closed the connection")


def test_while_nobody_looks_a_pool_asks_for_nothing_more(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    env = {"RESQUED_TIMINGS": "redis_check_interval=0.2"}
    config = "[worker]\ninterval = 0.2\n"
    with pool(redis_url, tmp_path, workers=8, env=env, config=config) as daemon:
        daemon.wait_for_event("master_ready")
        wait_for_record(redis_url, lambda r: r.pools[0].live == 8, "of all workers")
        words_of(redis, checks=2)  # until the first record is written
        sent = words_of(redis, checks=15)
        assert not [each for each in sent if any(name in each for name in QUIET)]
        # A look that finds nothing new sends one command; there is one for each check.
        looks = [each for each in sent if b"pause-all-workers" in each]
        assert 0 < len(looks) < 40


def test_the_state_of_workers_is_written_while_somebody_looks(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    env = {"RESQUED_TIMINGS": "redis_check_interval=0.2 detail_interval=0.1"}
    job = {"class": "Until", "args": [str(tmp_path / "gate"), 1]}
    with pool(redis_url, tmp_path, workers=2, env=env) as daemon:
        daemon.wait_for_event("master_ready")
        key = f"resque:resqued:detail:{wait_for_record(redis_url).id}"
        redis.rpush("resque:queue:default", json.dumps(job))
        wait_until(lambda: redis.llen("started"), what="the job")
        for _ in range(2):
            redis.set("resque:resqued:watch", "1", ex=15)
            wait_until(lambda: redis.exists(key), what="the detail")
            assert 0 < redis.ttl(key) <= 10
            written = json.loads(redis.get(key) or b"")
            asked = ask(daemon, do="status", usage=True)
            assert written.keys() == asked.keys()
            busy = [w for w in written["workers"] if w["phase"] == "running"]
            assert [w["job"]["class"] for w in busy] == ["Until"]
            assert all(w["memory"] > 0 for w in written["workers"])
            # It is kept up to date; a page that writes again changes nothing.
            redis.delete(key)
            redis.set("resque:resqued:watch", "1", ex=15)
            wait_until(lambda: redis.exists(key), what="the next detail")
            # The last one that looks has gone.
            redis.delete("resque:resqued:watch")
            wait_until(lambda: is_quiet(redis), what="silence")
            redis.delete(key)
        (tmp_path / "gate").touch()
    assert not redis.keys("resque:resqued:detail:*")


def is_quiet(redis: redis_py.Redis) -> bool:
    """Say whether no detail is written during two checks of the server."""
    return not [each for each in words_of(redis, 2) if b":detail:" in each]


def test_every_namespace_has_the_pools_that_serve_it(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    redis.ping()
    config = """
        [[pool]]
        queues = "a"
        [[pool]]
        queues = "b"
        namespace = "other"
        """
    file = tmp_path / "resqued.toml"
    file.write_text(config)
    with Daemon(
        *("-c", str(file), "-r", redis_url, "-a", "tests.support.jobs"),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": redis_url},
    ) as daemon:
        for namespace, name in (("resque", "a"), ("other", "b")):
            wait_until(lambda n=namespace: records(redis_url, n), what="a record")
            (record,) = records(redis_url, namespace)
            assert record.pid == daemon.pid
            assert [pool.name for pool in record.pools] == [name]
    assert not redis.keys("*:resqued:master*")
