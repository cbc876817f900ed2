"""Redis goes away and comes back while jobs run."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.system import process
from resqued.system.redis_server import EmbeddedServer
from tests.support.cli import run_command
from tests.support.pool import count, failures, left_over, pool, runs
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

pytestmark = pytest.mark.server_semantics

QUICK = "[redis]\ntimeout = '1s'\n"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("how", ["refuse", "black_hole", "hold"])
def test_jobs_that_end_while_redis_is_away_are_counted_once(
    how: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with (
        Proxy(port_of(redis_url)) as proxy,
        pool(
            proxy.url, tmp_path, workers=2, direct_url=redis_url, config=QUICK
        ) as running,
    ):
        running.wait_for_event("master_ready")
        before = running.workers()
        enough = tmp_path / "enough"
        jobs = [[str(enough), number] for number in (1, 2)]
        client.enqueue_many(jobs, job="Until", queue="default")
        wait_until(lambda: redis.llen("started") == 2, what="both jobs to start")
        getattr(proxy, how)()
        if how == "refuse":
            proxy.cut()
        enough.touch()
        wait_until(lambda: runs(redis).total() == 2, what="both jobs to end")
        # All of them notice, each at its own next word to the server.
        running.wait_for_event("redis_lost", count=2)
        client.enqueue_many(([n] for n in range(3, 9)), job="Run", queue="default")
        proxy.forward()
        wait_until(lambda: runs(redis).total() == 8, what="work to continue")
        wait_until(lambda: count(redis, "processed") == 8, what="all to be counted")
        assert running.workers() == before, "somebody died of it"
        assert running.events("worker_died") == []
    assert runs(redis) == Counter(map(str, range(1, 9)))
    assert failures(redis) == []
    assert left_over(redis) == set()


def test_a_restart_of_the_server_with_its_data_loses_nothing(
    server_binary: Path | None, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first = EmbeddedServer.start(data, binary=server_binary, append_only=True)
    url, jobs = first.url, 400
    with redis_py.Redis.from_url(url) as redis:
        try:
            resqued.Client(url).enqueue_many(
                ([n] for n in range(jobs)), job="Noop", queue="default"
            )
            with pool(url, tmp_path, workers=2, config=QUICK) as running:
                wait_until(lambda: count(redis, "processed") > 20)
                first.stop()
                running.wait_for_event("redis_lost")
                second = EmbeddedServer.start(
                    data, binary=server_binary, append_only=True, port=first.port
                )
                with second:
                    wait_until(
                        lambda: count(redis, "processed") == jobs, what="every job"
                    )
                    assert failures(redis) == []
                    assert running.events("worker_died") == []
                    running.signal(signal.SIGQUIT)
                    assert running.wait() == 0
                    assert left_over(redis) == set()
        finally:
            if first.is_running():
                first.stop()


def test_a_server_that_forgot_everything_gets_its_workers_back(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, workers=3) as running:
        running.wait_for_event("master_ready")
        redis.flushall()
        # Whoever forgets its data loses its connections as well.
        redis.client_kill_filter(_type="normal", skipme=True)
        wait_until(
            lambda: redis.scard("resque:workers") == 3,
            what="the workers to register again",
        )
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="a job to run")
    assert left_over(redis) == set()


def test_connections_that_are_killed_a_hundred_times(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    jobs = 600
    resqued.Client(redis_url).enqueue_many(
        ([n] for n in range(jobs)), job="Noop", queue="default"
    )
    with pool(redis_url, tmp_path, workers=2) as running:
        # A master whose connection is closed at its start ends, as documented.
        running.wait_for_event("master_ready")
        for turn in range(100):
            done = count(redis, "processed")
            redis.client_kill_filter(_type="normal", skipme=True)
            wait_until(
                lambda done=done: done < count(redis, "processed") or done == jobs,
                what=f"a job after turn {turn}",
            )
        wait_until(lambda: count(redis, "processed") == jobs, what="every job")
        assert running.events("worker_died") == []
    assert failures(redis) == []
    assert left_over(redis) == set()


def test_a_server_that_became_a_replica_is_asked_again(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path) as running:
        enough = tmp_path / "enough"
        client.enqueue_to("default", "Until", str(enough))
        wait_until(lambda: redis.llen("started"), what="the job to start")
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        enough.touch()
        try:
            # The worker and the master: reads are answered, and are not enough.
            running.wait_for_event("redis_lost", count=2)
            line = "redis refuses writes"
            wait_until(lambda: line in process.title(running.pid), what="the title")
            assert running.events("redis_restored") == []
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")
        running.wait_for_event("redis_restored", count=2)
        wait_until(lambda: line not in process.title(running.pid), what="the title")
        wait_until(lambda: count(redis, "processed") == 1, what="the job to be counted")
        client.enqueue_to("default", "Run", 2)
        wait_until(lambda: runs(redis)["2"], what="the next job")
        assert running.events("worker_died") == []
    assert failures(redis) == []


def test_a_master_that_starts_on_a_replica_waits_and_says_for_what(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pool(redis_url, tmp_path) as running:
            (event, *_) = running.wait_for_event("redis_lost")
            error = event["error"]
            # The server, its role, and what is waited for.
            assert error.startswith("redis at redis://")
            assert "READONLY You can't write against a read only replica" in error
            assert "until this server is the primary, or until [redis] url" in error
            why = run_command("why", "default", "-r", redis_url, cwd=tmp_path).stdout
            assert "server: a replica, 127.0.0.1:" in why.splitlines()[1]
            redis.execute_command("REPLICAOF", "NO", "ONE")
            resqued.Client(redis_url).enqueue_to("default", "Run", 1)
            wait_until(lambda: runs(redis)["1"], what="the job")
            assert running.events("worker_died") == []
    finally:
        redis.execute_command("REPLICAOF", "NO", "ONE")
    assert failures(redis) == []


def test_connections_that_are_closed_while_idle_are_no_outage(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path, workers=2) as running:
        running.wait_for_event("master_ready")
        for turn in range(1, 4):
            redis.client_kill_filter(_type="normal", skipme=True)
            client.enqueue_to("default", "Run", turn)
            wait_until(
                lambda turn=turn: count(redis, "processed") == turn, what="the job"
            )
        assert running.events("redis_lost") == []
        once = running.wait_for_event("redis_reconnected", count=2)
        assert len(once) <= 5, "once for each connection: two workers, and the master"
    assert failures(redis) == []


def test_a_server_without_memory_still_settles(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path) as running:
        enough = tmp_path / "enough"
        client.enqueue_to("default", "Until", str(enough))
        client.enqueue_to("default", "Noop", 1)
        wait_until(lambda: redis.llen("started"), what="the job to start")
        memory = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", 1)
        enough.touch()
        try:
            # Both scripts take something away before they add anything.
            wait_until(lambda: count(redis, "processed") == 2, what="both jobs")
        finally:
            redis.config_set("maxmemory", memory)
        assert running.events("worker_died") == []
    assert failures(redis) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT])
def test_an_idle_pool_can_be_stopped_while_redis_hangs(
    signum: signal.Signals, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with (
        Proxy(port_of(redis_url)) as proxy,
        pool(
            proxy.url,
            tmp_path,
            direct_url=redis_url,
            config=QUICK + "[worker]\nsettle_grace = '1s'\n",
        ) as running,
    ):
        running.wait_for_event("master_ready")
        proxy.black_hole()
        running.signal(signum)
        assert running.wait(60) == 0
        proxy.forward()
    # The next master finds what could not be said.
    with pool(redis_url, tmp_path) as running:
        running.wait_for_event("worker_pruned")
    assert left_over(redis) == set()


def test_an_outcome_that_cannot_be_told_is_in_the_log(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with (
        Proxy(port_of(redis_url)) as proxy,
        pool(
            proxy.url,
            tmp_path,
            direct_url=redis_url,
            config=QUICK + "[worker]\nsettle_grace = '1s'\n",
        ) as running,
    ):
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Sleep", 60)
        wait_until(lambda: redis.llen("started"), what="the job to start")
        proxy.black_hole()
        running.signal(signal.SIGTERM)
        assert running.wait(60) == 0
        (event,) = running.events("job_unsettled")
        assert "TermException" in event["exception"]
        assert (event["queue"], event["job_class"]) == ("default", "Sleep")
        proxy.forward()
    with pool(redis_url, tmp_path) as running:
        wait_until(lambda: count(redis, "processed") == 1, what="the job's burial")
    assert len(failures(redis)) == 1


def test_redis_that_cannot_be_reached_at_start_is_one_line_and_69(
    tmp_path: Path,
) -> None:
    with pool("redis://127.0.0.1:1/0", tmp_path) as running:
        assert running.wait() == 69
        lines = [line for line in running.log().splitlines() if line[:1] != "{"]
        assert len(lines) == 1
        assert lines[0].startswith("resqued: redis at redis://127.0.0.1:1/0: ")


def test_a_server_without_resp3_is_polled(
    server_binary: Path | None, tmp_path: Path
) -> None:
    server = EmbeddedServer.start(
        tmp_path / "old",
        binary=server_binary,
        options={"rename-command": "HELLO x", "requirepass": ""},
    )
    with server, redis_py.Redis.from_url(server.url, protocol=2) as redis:
        with pool(server.url, tmp_path, "--interval", "200ms") as running:
            running.wait_for_event("redis_without_tracking")
            running.wait_for_event("master_ready")
            redis.rpush("resque:queue:default", '{"class":"Noop","args":[1]}')
            wait_until(lambda: count(redis, "processed"), what="the job to run")
        assert left_over(redis) == set()
