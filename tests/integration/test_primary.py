"""Connections go where the primary is: by sentinels, and by the nodes of a cluster."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread

import pytest

import resqued
from resqued.errors import StoreError, UnusableServerError
from resqued.store.connection import Link, SingleLink
from resqued.store.runs import JobIntake, NoJob, Runs
from resqued.store.server_facts import examine
from resqued.store.store_errors import NotPrimaryError, RefusedError
from resqued.wire import queue_list
from resqued.wire.keys import Keys
from resqued.wire.payload import Reservation
from tests.support.cluster import Cluster
from tests.support.daemon import Daemon
from tests.support.node import Node
from tests.support.sentinels import Sentinels
from tests.support.tls import free_port
from tests.support.wait import scaled, wait_until

NAMESPACE = "{resque}"
QUEUE = Keys(NAMESPACE).queue("q")


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    place = tmp_path_factory.mktemp("sentinels")
    with Sentinels(place, password="p@ss", sentinel_password="q/r") as started:
        yield started


@pytest.fixture
def mortal(sentinels: Sentinels) -> Iterator[Sentinels]:
    """The same, for a test that kills servers; all run again when it has ended.

    Even if it fails: the tests after it need all replicas.
    """
    yield sentinels
    for node in sentinels.nodes:
        if not node.is_running():
            sentinels.wait_for_promotion(node)
            sentinels.restart(node)
    sentinels.wait_until_ready()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def url_of(sentinels: Sentinels) -> str:
    return f"{sentinels.url.partition('?')[0]}?sentinel_password=q%2Fr"


def queue_of(node: Node) -> list[int]:
    """Return the arguments of the jobs that a server has in the queue `repeated`."""
    jobs = node.client.lrange("resque:queue:repeated", 0, -1)
    return [json.loads(job)["args"][0] for job in jobs]


def single(stack: ExitStack, url: str, namespace: str = NAMESPACE) -> SingleLink:
    link = SingleLink(url, timeout=scaled(2), namespace=namespace)
    return stack.enter_context(closing(link))


# Sentinels


def test_a_sentinel_that_is_gone_is_passed_over(sentinels: Sentinels) -> None:
    scheme, _, rest = url_of(sentinels).partition("@")
    with closing(Link(f"{scheme}@127.0.0.1:{free_port()},{rest}")) as link:
        assert link.call("ROLE")[0] == b"master"


def test_what_is_wrong_at_the_sentinels_is_said(sentinels: Sentinels) -> None:
    url = url_of(sentinels)
    with (
        closing(Link(url.replace("/jobs/", "/Jobs/"))) as link,
        pytest.raises(
            UnusableServerError, match=r"knows no primary of the name 'Jobs'"
        ),
    ):
        link.ping()
    with (
        closing(Link(url.replace("q%2Fr", "wrong"), timeout=0.5)) as link,
        pytest.raises(StoreError, match="no sentinel names the primary") as caught,
    ):
        link.ping()
    assert "wrong" not in str(caught.value)


def test_a_sentinel_in_the_place_of_a_server_is_recognised(
    sentinels: Sentinels,
) -> None:
    with (
        closing(Link(f"redis://:q%2Fr@{sentinels.sentinels[0].address}")) as link,
        pytest.raises(UnusableServerError, match=r"the url is redis\+sentinel://"),
    ):
        link.call("LLEN", "x")


def test_doctor_asks_the_sentinels(sentinels: Sentinels) -> None:
    facts = examine(url_of(sentinels), timeout=scaled(5))
    assert set(facts.sentinels) == {node.address for node in sentinels.sentinels}
    assert set(facts.sentinels.values()) == {""}
    assert facts.place == sentinels.primary.address


def test_one_sentinel_that_errs_moves_no_connection(
    sentinels: Sentinels, stack: ExitStack
) -> None:
    link = single(stack, url_of(sentinels))
    link.ping()
    host, _, port = link.place.rpartition(":")
    assert not any(link.locator.is_elsewhere((host, int(port))) for _ in range(3))
    assert all(link.locator.is_elsewhere((host, 1)) for _ in range(3))


def test_a_refused_command_is_repeated_at_the_new_primary(
    mortal: Sentinels, stack: ExitStack
) -> None:
    client = stack.enter_context(
        closing(resqued.Client(url_of(mortal), timeout=scaled(30)))
    )
    link = single(stack, url_of(mortal))
    link.ping()
    client.enqueue_to("repeated", "Job", 0)
    # A replica that is behind loses it, and that is not the point here.
    for replica in mortal.replicas:
        wait_until(lambda r=replica: queue_of(r) == [0], what="a replica to follow")
    old = mortal.kill_primary()
    client.enqueue_to("repeated", "Job", 1)
    # The client has asked one sentinel; the others learn it later.
    mortal.wait_for_promotion(old)
    new = mortal.primary
    assert new is not old
    assert queue_of(new) == [0, 1]
    with pytest.raises(StoreError):
        link.ping()

    def arrives() -> bool:
        link.close()
        with suppress(StoreError):
            link.ping()
        return link.place == new.address

    wait_until(arrives, what="the link to go to the new primary")


def test_a_job_begins_when_replicas_have_its_record(
    sentinels: Sentinels, stack: ExitStack
) -> None:
    link = single(stack, url_of(sentinels), "resque")
    intake = JobIntake(queue_list.parse("safe"), min_replicas=2)
    runs = Runs(link, Keys(), worker_id="host:1:safe", identity="id", intake=intake)
    assert runs.register()
    with resqued.Client(url_of(sentinels)) as client:
        client.enqueue_to("safe", "Job", 7)
    replicas = sentinels.replicas
    for replica in replicas:
        stack.callback(replica.thaw)
        replica.freeze()
    with pytest.raises(RefusedError, match=r"0 of 2 replicas .* the job waits"):
        runs.reserve()
    # On a new connection too, which has written nothing so far.
    link.close()
    with pytest.raises(RefusedError, match="0 of 2 replicas"):
        runs.reserve()
    for replica in replicas:
        replica.thaw()

    def reserve() -> Reservation | NoJob | None:
        # A replica that runs again may need more than the second that a request waits.
        with suppress(RefusedError):
            return runs.reserve()[1]
        return None

    held = wait_until(reserve, what="the replicas to confirm the record")
    assert not isinstance(held, NoJob)
    assert b'"args":[7]' in held.payload
    for replica in replicas:
        assert replica.client.get("resque:worker:host:1:safe")


def test_a_reload_changes_the_url(mortal: Sentinels, tmp_path: Path) -> None:
    """From the address of the primary to that of its sentinels."""
    config = tmp_path / "resqued.toml"
    primary = mortal.primary
    text = '[redis]\nurl = "{}"\n[app]\nimport = ["tests.support.jobs"]\n'
    config.write_text(text.format(primary.url))
    with Daemon("moved", "-c", str(config), cwd=tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        config.write_text(text.format(url_of(mortal)))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("reload_done")
        with resqued.Client(url_of(mortal), timeout=scaled(30)) as client:
            old = mortal.kill_primary()
            # Only by the sentinels can the pool find the next one.
            mortal.wait_for_promotion(old)
            client.enqueue_to("moved", "Missing")
            wait_until(
                lambda: client.info().failures == 1, what="the job to be recorded"
            )


# A cluster


def test_every_node_leads_to_the_one_that_serves(
    cluster: Cluster, stack: ExitStack
) -> None:
    owner = cluster.primary_of(QUEUE).address
    for node in cluster.nodes:
        link = single(stack, node.url)
        link.ping()
        assert link.place == owner
    facts = examine(cluster.url, timeout=scaled(5), namespace=NAMESPACE)
    assert (facts.place, facts.cluster["cluster_state"]) == (owner, "ok")


def test_a_cluster_is_found_by_the_nodes_that_run(cluster: Cluster) -> None:
    hosts = f"127.0.0.1:{free_port()},{cluster.nodes[-1].address}"
    with resqued.Client(f"redis+cluster://{hosts}", namespace=NAMESPACE) as client:
        assert client.size("q") == 0


@pytest.mark.parametrize("namespace", ["resque", "{}", "{resque"])
def test_a_namespace_without_braces_is_refused_before_anything_is_written(
    cluster: Cluster, namespace: str
) -> None:
    with (
        resqued.Client(cluster.url, namespace=namespace) as client,
        pytest.raises(resqued.ConfigError, match=r"set -N '\{resque\}'") as caught,
    ):
        client.enqueue_to("q", "Job")
    assert caught.value.exit_code == 78
    assert not any(node.client.keys() for node in cluster.nodes)


def test_a_connection_without_a_namespace_follows_moved(cluster: Cluster) -> None:
    keys = [Keys(name).queue("q") for name in ("{a}", "{b}", "{c}", "{d}")]
    with closing(Link(cluster.url)) as link:
        for key in keys:
            link.call("RPUSH", key, "x")
            assert cluster.primary_of(key).client.llen(key) == 1
            link.call("DEL", key)


def test_a_moved_slot_is_followed_and_each_push_is_executed_once(
    cluster: Cluster, stack: ExitStack
) -> None:
    owner = cluster.primary_of(QUEUE)
    client = stack.enter_context(
        closing(resqued.Client(cluster.url, namespace=NAMESPACE, timeout=scaled(20)))
    )
    packed = single(stack, cluster.url)
    listening = single(stack, cluster.url)
    assert listening.listen(lambda message: message)
    text = f"*2\r\n$4\r\nLLEN\r\n${len(QUEUE)}\r\n{QUEUE}\r\n".encode()
    assert packed.call_packed(text) == listening.call("LLEN", QUEUE) == 0
    pushed = 0
    moving = Thread(target=cluster.migrate, args=(QUEUE,))
    moving.start()
    while moving.is_alive() or pushed < 100:
        client.enqueue_to("q", "Job", pushed)
        pushed += 1
    moving.join()
    assert cluster.primary_of(QUEUE) is not owner
    assert packed.call_packed(text) == client.size("q") == pushed
    # Its owner must turn tracking on again.
    with pytest.raises(NotPrimaryError, match="MOVED"):
        listening.call("LLEN", QUEUE)
    assert listening.listen(lambda message: message)
    assert listening.call("LLEN", QUEUE) == pushed
    client.remove_queue("q")


def test_a_script_is_loaded_at_the_node_that_takes_over(
    cluster: Cluster, stack: ExitStack
) -> None:
    runs = Runs(
        single(stack, cluster.url),
        Keys(NAMESPACE),
        worker_id="host:2:q",
        identity="id",
        intake=JobIntake(queue_list.parse("q")),
    )
    assert runs.register()
    cluster.migrate(QUEUE)
    assert runs.reserve()[1] is NoJob.EMPTY
    assert runs.unregister()
