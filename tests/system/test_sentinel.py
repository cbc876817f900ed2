"""A pool, the library and the commands on a Redis that three sentinels watch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.errors import StoreError
from tests.support.asking import running
from tests.support.cli import fail
from tests.support.daemon import Daemon
from tests.support.every import (
    SECRETS,
    Commands,
    run_documented,
    use_every_command,
    use_every_method,
    use_failed_commands,
)
from tests.support.pool import count, failures, left_over, runs
from tests.support.readme import words_of_commands
from tests.support.sentinels import Sentinels
from tests.support.stream import Stream
from tests.support.wait import wait_until

NO_MASTER = 69
JOBS = 300
# For what takes a shorter time.
FEW = 100
WORKERS = 4
# Seconds of a job: four workers take a while, and the primary dies meanwhile.
LENGTH = 0.03


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    place = tmp_path_factory.mktemp("sentinels")
    # As the documentation asks for: a primary without a replica takes no writes.
    with Sentinels(
        place, password="p@ss:1", sentinel_password="s:n@1", min_replicas=1
    ) as started:
        yield started


@pytest.fixture
def sentinels(topology: Sentinels) -> Sentinels:
    """The sentinels, with an empty primary and a replica that could take over."""
    topology.wait_until_ready(replicas=1)
    topology.primary.client.flushall()
    return topology


@pytest.fixture
def daemon(sentinels: Sentinels, redis_url: str, tmp_path: Path) -> Iterator[Daemon]:
    """A pool that finds its Redis by the sentinels; its jobs tell another server."""
    options = {"workers": WORKERS, "direct_url": redis_url}
    with running(sentinels.url, tmp_path, **options) as daemon:
        yield daemon
    wait_until(lambda: left_over(sentinels.primary.client) == set(), what="no keys")


def enqueue_jobs(url: str, count: int = JOBS) -> None:
    with resqued.Client(url) as client:
        jobs = ([LENGTH, number] for number in range(count))
        client.enqueue_many(jobs, job="Sleep", queue="default")


def wait_for_all(sentinels: Sentinels, witness: redis_py.Redis, stream: Stream) -> None:
    """Wait until every job has run and is recorded; none may have run twice."""
    assert stream.errors == []
    wanted = {str(n) for n in (*range(JOBS), *stream.confirmed)}
    wait_until(lambda: wanted <= runs(witness).keys(), what="all jobs", deadline=60)
    primary = sentinels.primary.client
    wait_until(
        lambda: count(primary, "processed") == runs(witness).total(),
        what="every run to be recorded",
    )
    assert {n: k for n, k in runs(witness).items() if k > 1} == {}
    possible = wanted | {str(n) for n in stream.unsure}
    assert runs(witness).keys() <= possible
    assert failures(primary) == []


def test_everything_works_through_sentinels(
    sentinels: Sentinels, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_directory))
    commands = Commands(sentinels.url)
    with resqued.Client(sentinels.url) as client:
        client.enqueue_many([[n] for n in range(3)], job="Fail", queue="default")
        wait_until(lambda: client.failures.count() == 3, what="three failures")
        use_every_method(client)
    use_every_command(commands)
    (answer,) = commands.facts("why", "default", "--no-import")
    server = sentinels.primary.address
    assert (answer["server"], answer["role"]) == (server, "primary")
    assert f"{server}, the primary" in answer["findings"][-1]["text"]
    commands.run("status", "--check")
    use_failed_commands(commands, 3)
    logged = daemon.log_path.read_text()
    assert not any(secret in logged for secret in SECRETS)


def test_commands_find_the_master_by_each_url_of_its_redis(
    sentinels: Sentinels,
    daemon: Daemon,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_directory))
    urls = [sentinels.url_of([each.address]) for each in sentinels.sentinels]
    for url in (*urls, sentinels.primary.url):
        commands = Commands(url)
        commands.run("pause")
        assert commands.facts("status")["masters"][0]["is_paused"]
        commands.run("resume")
        commands.run("status", "--check")
        commands.run("top")
    for url, namespace in (
        (sentinels.url, "other"),
        (sentinels.primary.url, "other"),
        (redis_url, "resque"),
    ):
        words = ("pause", "-r", url, "-N", namespace)
        env = {"RUNTIME_DIRECTORY": str(daemon.runtime_directory)}
        (said,) = fail(*words, cwd=tmp_path, env=env, status=NO_MASTER)
        assert "no master here serves" in said


def test_the_commands_of_the_documentation(
    sentinels: Sentinels, tmp_path: Path
) -> None:
    login, _, rest = sentinels.url.removeprefix("redis+sentinel://").partition("@")
    hosts, slash, path = rest.partition("/")
    first, second, third = hosts.split(",")
    names = {
        "/jobs/0": slash + path,
        "s1.example.org": f"{login}@{first}",
        "s2.example.org": second,
        "s3.example.org": third,
    }
    run_documented(words_of_commands("Sentinel", "docs/scaling.md", names), tmp_path)


def test_one_sentinel_of_three_is_enough(sentinels: Sentinels) -> None:
    for sentinel in sentinels.sentinels:
        addresses = ["127.0.0.1:1", "127.0.0.1:2", sentinel.address]
        with resqued.Client(sentinels.url_of(addresses)) as client:
            client.ping()


def test_a_service_that_no_sentinel_knows_is_one_error(sentinels: Sentinels) -> None:
    url = sentinels.url_of([s.address for s in sentinels.sentinels], "nobs")
    with resqued.Client(url) as client, pytest.raises(StoreError, match="nobs"):
        client.ping()


def test_the_primary_is_killed_while_jobs_run(
    sentinels: Sentinels, daemon: Daemon, redis: redis_py.Redis
) -> None:
    enqueue_jobs(sentinels.url)
    with Stream(sentinels.url, first=JOBS) as stream:
        wait_until(lambda: redis.llen("runs") >= JOBS / 6, what="jobs to run")
        old = sentinels.kill_primary()
        sentinels.wait_for_promotion(old)
        before = len(stream.confirmed)
        wait_until(lambda: len(stream.confirmed) > before, what="an enqueued job")
    wait_for_all(sentinels, redis, stream)
    assert daemon.events("worker_died") == []
    sentinels.restart(old)


@pytest.mark.parametrize("coordinated", [True, False])
def test_a_primary_that_is_demoted_refuses_and_nothing_comes_of_it(
    coordinated: bool, sentinels: Sentinels, daemon: Daemon, redis: redis_py.Redis
) -> None:
    enqueue_jobs(sentinels.url, FEW)
    wait_until(lambda: redis.llen("runs") >= FEW / 5, what="jobs to run")
    old = sentinels.fail_over(coordinated=coordinated)
    sentinels.wait_for_promotion(old)
    wait_until(lambda: not old.is_primary(), what="the old primary to be demoted")
    wait_until(lambda: len(runs(redis)) == FEW, what="all jobs", deadline=60)
    primary = sentinels.primary.client
    if coordinated:
        wait_until(lambda: count(primary, "processed") == FEW, what="every record")
        assert max(runs(redis).values()) == 1
    # What the old primary took after the promotion is lost, and its jobs run again.
    assert count(primary, "processed") <= FEW
    assert failures(primary) == []
    assert daemon.events("worker_died") == []


def test_a_primary_that_hangs_is_left_for_the_next(
    sentinels: Sentinels, daemon: Daemon, redis: redis_py.Redis
) -> None:
    enqueue_jobs(sentinels.url, FEW)
    wait_until(lambda: redis.llen("runs") >= FEW / 5, what="jobs to run")
    old = sentinels.primary
    old.freeze()
    try:
        sentinels.wait_for_promotion(old)
        wait_until(lambda: len(runs(redis)) == FEW, what="all jobs", deadline=60)
    finally:
        old.thaw()
    assert max(runs(redis).values()) == 1
    assert failures(sentinels.primary.client) == []
    assert daemon.is_running()
