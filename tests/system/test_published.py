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


def test_a_master_that_stops_says_so_while_its_jobs_go_on(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        job: dict[str, Any] = {"class": "Sleep", "args": [30]}
        redis.rpush("resque:queue:default", json.dumps(job))
        redis.blpop("started", timeout=20)
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
