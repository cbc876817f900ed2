"""A pool, the library and the commands on a cluster of three primaries and replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.errors import ResquedError
from tests.support.asking import running
from tests.support.cli import run_command
from tests.support.cluster import Cluster
from tests.support.daemon import Daemon
from tests.support.every import (
    Commands,
    run_documented,
    use_every_command,
    use_every_method,
    use_failed_commands,
)
from tests.support.node import Node
from tests.support.pool import count, failures, left_over, runs
from tests.support.readme import words_of_commands
from tests.support.site import Site
from tests.support.stream import Stream
from tests.support.wait import wait_until

NAMESPACE = "{resque}"
CONFIGURATION = 78
JOBS = 150
WORKERS = 4
# Seconds of a job: four workers take a while, and meanwhile something happens.
LENGTH = 0.03


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), password="p@ss:1") as started:
        yield started


@pytest.fixture
def cluster(topology: Cluster) -> Cluster:
    """The cluster, empty, with every node."""
    topology.wait_until_ready()
    for node in topology.nodes:
        if node.is_primary():
            node.client.flushall()
    return topology


@pytest.fixture
def daemon(cluster: Cluster, redis_url: str, tmp_path: Path) -> Iterator[Daemon]:
    """A pool on the cluster, by the URL of one node; its jobs tell another server."""
    options = {"workers": WORKERS, "direct_url": redis_url}
    with running(cluster.url, tmp_path, "-N", NAMESPACE, **options) as daemon:
        yield daemon
    left = left_over(cluster.primary_of(NAMESPACE).client, NAMESPACE)
    assert left == set()


def enqueue_jobs(url: str) -> None:
    with resqued.Client(url, namespace=NAMESPACE) as client:
        jobs = ([LENGTH, number] for number in range(JOBS))
        client.enqueue_many(jobs, job="Sleep", queue="default")


@contextmanager
def without_failover(cluster: Cluster, key: str) -> Iterator[Node]:
    """Kill the primary of a key; its replica takes over after the block.

    The other primaries serve meanwhile.
    """
    for node in cluster.nodes:
        node.client.config_set("cluster-require-full-coverage", "no")
    replicas = cluster.replicas_of(cluster.primary_of(key))
    for replica in replicas:
        replica.client.config_set("cluster-replica-no-failover", "yes")
        # However long it waits, its data is good enough.
        replica.client.config_set("cluster-replica-validity-factor", 0)
    try:
        yield cluster.kill_primary(key)
    finally:
        for replica in replicas:
            replica.client.config_set("cluster-replica-no-failover", "no")
        for node in filter(Node.is_running, cluster.nodes):
            node.client.config_set("cluster-require-full-coverage", "yes")


def wait_for_all(cluster: Cluster, witness: redis_py.Redis, stream: Stream) -> None:
    """Wait until every job has run and is recorded; none may have run twice."""
    assert stream.errors == []
    wanted = {str(n) for n in (*range(JOBS), *stream.confirmed)}
    wait_until(lambda: wanted <= runs(witness).keys(), what="all jobs", deadline=60)
    node = cluster.primary_of(NAMESPACE).client
    wait_until(
        lambda: count(node, "processed", NAMESPACE) == runs(witness).total(),
        what="every run to be recorded",
    )
    assert {n: k for n, k in runs(witness).items() if k > 1} == {}
    assert runs(witness).keys() <= wanted | {str(n) for n in stream.unsure}
    assert failures(node, NAMESPACE) == []


def test_everything_works_through_each_node(
    cluster: Cluster, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_directory))
    for node in cluster.nodes:
        with resqued.Client(node.url, namespace=NAMESPACE) as client:
            client.enqueue_many([[n] for n in range(3)], job="Fail", queue="default")
            wait_until(lambda c=client: c.failures.count() == 3, what="three failures")
            use_every_method(client)
        commands = Commands(node.url, NAMESPACE)
        use_every_command(commands)
        (answer,) = commands.facts("why", "default", "--no-import")
        server = cluster.primary_of(NAMESPACE).address
        assert (answer["server"], answer["role"]) == (server, "primary")
        assert f"{server}, the primary" in answer["findings"][-1]["text"]
        use_failed_commands(commands, 3)


def test_the_commands_of_the_documentation(cluster: Cluster, tmp_path: Path) -> None:
    names = {
        f"redis://node{n}.example.org:6379": node.url
        for n, node in enumerate(cluster.nodes, start=1)
    }
    commands = words_of_commands("Cluster (shards)", "docs/scaling.md", names)
    run_documented(commands, tmp_path)


def test_namespaces_spread_over_the_nodes(cluster: Cluster) -> None:
    names = [f"{{{name}}}" for name in "abcdefgh"]
    for name in names:
        with resqued.Client(cluster.url, namespace=name) as client:
            client.enqueue_to("default", "Run", 1)
            assert client.size("default") == 1
    sizes = [node.client.dbsize() for node in cluster.nodes if node.is_primary()]
    assert all(sizes)
    # The list of queues, and one queue.
    assert sum(sizes) == 2 * len(names)


@pytest.mark.parametrize(
    "command", ["work default", "start default", "stats", "enqueue Run 1 -q low"]
)
def test_a_namespace_without_braces_is_refused_in_one_line(
    command: str, cluster: Cluster, tmp_path: Path
) -> None:
    words = [*command.split(), "-r", cluster.url, "-N", "resque"]
    ended = run_command(*words, cwd=tmp_path)
    assert ended.returncode == CONFIGURATION, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert "{resque}" in line


def test_doctor_finds_a_namespace_without_braces(
    cluster: Cluster, tmp_path: Path
) -> None:
    words = ("doctor", "--no-import", "--json", "-r", cluster.url, "-N", "resque")
    ended = run_command(*words, cwd=tmp_path)
    (found,) = [f for f in json.loads(ended.stdout) if "slots" in f["text"]]
    assert (ended.returncode, found["verdict"]) == (1, "problem")
    assert "{resque}" in found["text"]


def test_the_library_refuses_a_namespace_without_braces(cluster: Cluster) -> None:
    with (
        resqued.Client(cluster.url) as client,
        pytest.raises(ResquedError, match=r"\{resque\}"),
    ):
        client.enqueue_to("default", "Run", 1)


@pytest.fixture
def spread(cluster: Cluster, redis: redis_py.Redis, tmp_path: Path) -> Site:
    """An application with a pool in {b}, and one in {a}, the default."""
    site = Site(tmp_path, cluster.url, redis)
    site.release("one")
    configure_default(site, "{a}")
    return site


def configure_default(site: Site, namespace: str) -> None:
    pool = '[[pool]]\nqueues = "default"\nnamespace = "{b}"\nworkers = 1'
    text = f'[redis]\nnamespace = "{namespace}"\n{pool}'
    site.configure(text, pools={"default": 1})


@pytest.fixture
def clients(cluster: Cluster) -> Iterator[tuple[resqued.Client, resqued.Client]]:
    with (
        resqued.Client(cluster.url, namespace="{a}") as a,
        resqued.Client(cluster.url, namespace="{b}") as b,
    ):
        yield a, b


def test_one_master_serves_namespaces_of_several_primaries(
    cluster: Cluster,
    redis_url: str,
    spread: Site,
    clients: tuple[resqued.Client, resqued.Client],
) -> None:
    site, (a, b) = spread, clients

    def statuses() -> dict[str, dict[str, Any]]:
        return {n["namespace"]: n for n in site.ask("status")["namespaces"]}

    def primaries() -> dict[str, str]:
        return {n: cluster.primary_of(n).address for n in ("{a}", "{b}")}

    def seen() -> dict[str, str]:
        return {name: status["primary"] for name, status in statuses().items()}

    def answering() -> dict[str, str]:
        words = ("doctor", "--no-import", "--json", "-r", cluster.url)
        ended = run_command(*words, "-c", str(site.config), cwd=site.place)
        found = [f for f in json.loads(ended.stdout) if f["check"] == "redis"]
        return {
            f["text"].removeprefix("namespace ").partition(":")[0]: f["verdict"]
            for f in found
        }

    with site.running(TEST_REDIS_URL=redis_url) as running:
        for client in clients:
            client.enqueue_to("default", "Tell", client.namespace)
            site.wait_told(client.namespace)
        assert len(set(primaries().values())) == 2
        wait_until(lambda: seen() == primaries(), what="both primaries in the status")
        # There is no single one.
        assert "primary" not in site.ask("status")
        assert answering() == {"{a}": "ok", "{b}": "ok"}

        with without_failover(cluster, "{a}") as old:
            wait_until(lambda: statuses()["{a}"]["redis_error"], what="{a} to be away")
            for job in range(5):
                b.enqueue_to("default", "Tell", job)
                site.wait_told(job)
            assert statuses()["{b}"]["redis_error"] == ""
            assert statuses()["{a}"]["redis_error"]
            assert answering() == {"{a}": "problem", "{b}": "ok"}
        cluster.wait_for_promotion("{a}", old)
        a.enqueue_to("default", "Tell", "after")
        site.wait_told("after")
        wait_until(lambda: seen() == primaries(), what="the new primary in the status")
        assert running.events("worker_died") == []
        moved = [event["namespace"] for event in running.events("redis_moved")]
        assert moved == ["{a}"]
    cluster.restart(old)
    for name in ("{a}", "{b}"):
        assert left_over(cluster.primary_of(name).client, name) == set()


def test_a_reload_refuses_a_namespace_without_braces(
    redis_url: str, spread: Site, clients: tuple[resqued.Client, resqued.Client]
) -> None:
    site = spread
    with site.running(TEST_REDIS_URL=redis_url):
        configure_default(site, "plain")
        answer = site.reload()
        assert not answer["ok"]
        assert "{plain}" in answer["error"]
        configure_default(site, "{c}")
        assert site.reload()["ok"]
        clients[1].enqueue_to("default", "Tell", 1)
        site.wait_told(1)


@pytest.mark.parametrize("is_named", [False, True])
def test_a_reload_to_a_cluster_refuses_a_namespace_without_braces(
    is_named: bool,
    cluster: Cluster,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, redis_url, redis)
    site.release("one")
    site.configure(f'[redis]\nurl = "{redis_url}"')
    with site.running(TEST_REDIS_URL=redis_url, names_url=False) as running:
        _, _, place = cluster.url.rpartition("redis://")
        url = f"redis+cluster://{place}".removesuffix("/0") if is_named else cluster.url
        site.configure(f'[redis]\nurl = "{url}"')
        reload = ("reload", "-c", str(site.config), "--pid", str(running.pid))
        for how in (("--wait",), ("--master",)):
            ended = run_command(*reload, *how, cwd=site.place)
            assert ended.returncode != 0
            (line,) = ended.stderr.splitlines()
            assert "{resque}" in line
            assert site.run(*how).release == "one"
        # It is as it was: not half way to another generation, nor another program.
        assert site.generations() == [1, 1]
        assert running.events("reexec_failed")
        assert not running.events("master_resumed")
    assert left_over(redis) <= {b"told"}


def test_a_slot_moves_while_jobs_run(
    cluster: Cluster, daemon: Daemon, redis: redis_py.Redis
) -> None:
    enqueue_jobs(cluster.url)
    with (
        cluster.migrating(NAMESPACE) as owners,
        Stream(cluster.nodes[-1].url, first=JOBS, namespace=NAMESPACE) as stream,
    ):
        wait_until(lambda: redis.llen("runs") >= JOBS / 2, what="jobs to run")
        moved = len(owners)
        wait_until(lambda: len(owners) > moved + 2, what="the slot to move")
    wait_for_all(cluster, redis, stream)
    assert daemon.events("worker_died") == []


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_replica_takes_over_while_jobs_run(
    is_killed: bool, cluster: Cluster, daemon: Daemon, redis: redis_py.Redis
) -> None:
    enqueue_jobs(cluster.url)
    with Stream(cluster.url, first=JOBS, namespace=NAMESPACE) as stream:
        wait_until(lambda: redis.llen("runs") >= JOBS / 6, what="jobs to run")
        take_away = cluster.kill_primary if is_killed else cluster.fail_over
        old = take_away(NAMESPACE)
        cluster.wait_for_promotion(NAMESPACE, old)
        before = len(stream.confirmed)
        wait_until(lambda: len(stream.confirmed) > before, what="an enqueued job")
    wait_for_all(cluster, redis, stream)
    assert daemon.events("worker_died") == []
    if is_killed:
        cluster.restart(old)
