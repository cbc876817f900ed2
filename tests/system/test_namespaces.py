"""One master, several namespaces: each is served by its own pool and by nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import redis as redis_py

import resqued
from resqued.embedded import EmbeddedServer
from tests.support.daemon import Daemon
from tests.support.processes import title
from tests.support.proxy import Proxy
from tests.support.site import MAIL, Site
from tests.support.wait import wait_until

POOL = '[[pool]]\nqueues = "default"\nnamespace = "{mail}"\nworkers = 1\n'
ENQUEUES = """
@resqued.job(queue="default", name="Forward")
def forward():
    resqued.enqueue_to("forwarded", "Tell", 0)
    note("told", f"forward {RELEASE} {os.getppid()} 0 0")
"""
CONFIGURES = """
resqued.configure(os.environ["TEST_REDIS_URL"], namespace="shop")
"""


@pytest.fixture
def mail(redis_url: str) -> Iterator[resqued.Client]:
    """A client of the second namespace."""
    with resqued.Client(redis_url, namespace=MAIL) as client:
        yield client


def workers(site: Site) -> dict[str, dict[str, Any]]:
    """Return the worker of each namespace, as the master tells of it."""
    return {worker["namespace"]: worker for worker in site.ask("status")["workers"]}


def ids(redis: redis_py.Redis, namespace: str) -> list[str]:
    return sorted(worker.decode() for worker in redis.smembers(f"{namespace}:workers"))


def number(redis: redis_py.Redis, key: str) -> int:
    return int(redis.get(key) or 0)


# How many connections a master has for each namespace: for the registry, the queues and
# the delayed jobs.
EACH = 3


def connections(running: Daemon) -> int:
    """Return how many connections the master has to Redis."""
    return len(psutil.Process(running.pid).net_connections("tcp"))


def test_each_namespace_has_its_own_workers(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with site.running() as running:
        found = workers(site)
        assert set(found) == {MAIL, "resque"}
        for namespace, worker in found.items():
            assert ids(redis, namespace) == [worker["id"]]
            # The same list in both: ps tells them apart.
            assert f"[{namespace}]: Waiting for default" in title(worker["pid"])
        for job in range(10):
            site.enqueue(f"resque-{job}")
            mail.enqueue_to("default", "Tell", f"mail-{job}")
        wait_until(lambda: len(site.told()) == 20, what="all jobs")
        # A push wakes the worker of its own namespace.
        for namespace in (MAIL, "resque"):
            pid = found[namespace]["pid"]
            name = namespace.strip("{}")
            assert {t.worker for t in site.told() if name in t.number} == {pid}
            wait_until(
                lambda at=namespace: number(redis, f"{at}:stat:processed") == 10,
                what=f"ten jobs of {namespace}",
            )
        running.signal(signal.SIGQUIT)
        assert running.wait() == 0
    assert ids(redis, MAIL) == ids(redis, "resque") == []


def test_a_death_is_recorded_where_the_worker_was(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    for namespace in (MAIL, "resque"):
        # A worker whose heart stopped long ago; both are pruned.
        redis.sadd(f"{namespace}:workers", "gone:1:default")
        redis.hset(
            f"{namespace}:workers:heartbeat", "gone:1:default", "2020-01-01T00:00:00Z"
        )
    with site.running() as running:
        pruned = running.wait_for_event("worker_pruned", count=2)
        assert {event["namespace"] for event in pruned} == {MAIL, "resque"}
        victim = workers(site)[MAIL]
        mail.enqueue_to("default", "Hold", "held", "/nowhere")
        wait_until(lambda: redis.llen("started"), what="the job to run")
        os.kill(victim["pid"], signal.SIGKILL)
        wait_until(lambda: redis.llen(f"{MAIL}:failed"), what="the failure")
        (entry,) = redis.lrange(f"{MAIL}:failed", 0, -1)
        assert json.loads(entry)["worker"] == victim["id"]
        assert redis.llen("resque:failed") == 0
        # Its replacement is of the same namespace.
        mail.enqueue_to("default", "Tell", "after")
        site.wait_told("after")
        assert site.run("other").worker == workers(site)["resque"]["pid"]


def test_a_job_enqueues_into_the_namespace_that_it_runs_in(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    site.release("one", ENQUEUES)
    site.configure(POOL, pools={"default": 1})
    with site.running():
        mail.enqueue_to("default", "Forward")
        site.wait_told("forward")
        assert redis.llen(f"{MAIL}:queue:forwarded") == 1
        assert redis.llen("resque:queue:forwarded") == 0
        # A client that the application configures stays in use.
        site.release("two", ENQUEUES + CONFIGURES)
        assert site.reload()["ok"]
        mail.enqueue_to("default", "Forward")
        wait_until(
            lambda: [t.release for t in site.told()] == ["one", "two"], what="both"
        )
        assert redis.llen("shop:queue:forwarded") == 1
        redis.delete(f"{MAIL}:queue:forwarded", "shop:queue:forwarded", "shop:queues")


def test_a_reload_adds_moves_and_removes_a_namespace(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    with site.running() as running:
        assert connections(running) == EACH
        site.hold("held")
        wait_until(lambda: redis.llen("started"), what="the job to run")
        site.configure(POOL, pools={"default": 1})
        assert site.ask("reload")["ok"]
        mail.enqueue_to("default", "Tell", "added")
        site.wait_told("added")
        site.let_go("held")
        site.settled(2, 2)
        wait_until(lambda: connections(running) == 2 * EACH, what="those of two")
        assert site.run("kept").worker == workers(site)["resque"]["pid"]

        # The default is another one: the pool without a name of its own moves.
        site.configure('[redis]\nnamespace = "{mail}"', pools={"default": 2})
        assert site.reload()["ok"]
        site.settled(3, 2)
        assert set(workers(site)) == {MAIL}
        assert len(ids(redis, MAIL)) == 2
        mail.enqueue_to("default", "Tell", "moved")
        site.wait_told("moved")
        wait_until(lambda: ids(redis, "resque") == [], what="nobody in resque")

        # With one namespace a master has the connections that it had.
        wait_until(lambda: connections(running) == EACH, what="those of one")


def test_a_reload_that_changes_the_url_moves_all_namespaces(
    site: Site, redis: redis_py.Redis, server: EmbeddedServer, mail: resqued.Client
) -> None:
    def ports(running: Daemon) -> Counter[int]:
        found = psutil.Process(running.pid).net_connections("tcp")
        return Counter(at.raddr.port for at in found if at.raddr)

    with Proxy(server.port) as old, Proxy(server.port) as new:
        site.configure(f'[redis]\nurl = "{old.url}"\n{POOL}', pools={"default": 1})
        with site.running(names_url=False) as running:
            wait_until(
                lambda: ports(running) == {old.port: 2 * EACH}, what="connections"
            )
            site.configure(f'[redis]\nurl = "{new.url}"\n{POOL}', pools={"default": 1})
            assert site.reload()["ok"]
            wait_until(
                lambda: ports(running) == {new.port: 2 * EACH}, what="the new URL"
            )
            mail.enqueue_to("default", "Tell", "moved")
            site.wait_told("moved")
            assert site.run("other").worker == workers(site)["resque"]["pid"]

            # A namespace that no pool names any longer stays where its worker is.
            site.hold("held")
            wait_until(lambda: b"held" in redis.lrange("started", 0, -1), what="a job")
            place = f'[redis]\nurl = "{old.url}"\nnamespace = "{MAIL}"'
            site.configure(place, pools={"default": 2})
            assert site.ask("reload", wait=False)["ok"]
            wait_until(
                lambda: ports(running) == {old.port: EACH, new.port: EACH},
                what="one namespace to move",
            )
            mail.enqueue_to("default", "Tell", "back")
            site.wait_told("back")
            site.let_go("held")
            site.wait_told("held")
            wait_until(
                lambda: ports(running) == {old.port: EACH}, what="the other to end"
            )
            assert number(redis, "resque:stat:processed") == 2
            assert ids(redis, "resque") == []


def test_a_namespace_that_is_away_stops_no_other(
    site: Site, redis: redis_py.Redis, server: EmbeddedServer, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with Proxy(server.port) as proxy, site.running("-r", proxy.url) as running:
        # As if the node of this namespace had no network any more.
        proxy.swallow_replies(of=MAIL)
        wait_until(
            lambda: f"redis is away (namespace {MAIL})" in title(running.pid),
            what="the title to name the namespace",
        )
        status = site.ask("status")
        where = {n["namespace"]: n["redis_error"] for n in status["namespaces"]}
        assert where["resque"] == ""
        assert f"{where[MAIL]} (namespace {MAIL})" == status["redis_error"]
        mail.enqueue_to("default", "Tell", "later")
        for job in range(5):
            assert site.run(job).worker == workers(site)["resque"]["pid"]
        assert redis.llen(f"{MAIL}:queue:default") == 1
        assert {event["namespace"] for event in running.events("redis_lost")} == {MAIL}
        proxy.forward()
        site.wait_told("later")
        wait_until(
            lambda: "namespace" not in title(running.pid),
            what="the title to be as before",
        )


def test_a_master_starts_and_reloads_while_a_namespace_is_away(
    site: Site, redis: redis_py.Redis, server: EmbeddedServer, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with Proxy(server.port) as proxy:
        proxy.swallow_replies(of=MAIL)
        with site.running("-r", proxy.url):
            # It is ready without the workers that cannot register.
            assert workers(site)[MAIL]["phase"] == "starting"
            site.release("two")
            assert site.ask("reload")["ok"]
            mail.enqueue_to("default", "Tell", "later")
            wait_until(
                lambda: (
                    [
                        worker["generation"]
                        for worker in site.ask("status")["workers"]
                        if worker["namespace"] == "resque"
                    ]
                    == [2]
                ),
                what="the pool within reach to move",
            )
            assert site.run("new").release == "two"
            assert site.ask("status")["is_reloading"]
            proxy.forward()
            site.wait_told("later")
            site.settled(2, 2)


def test_another_program_takes_over_all_namespaces(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with site.running() as running:
        mail.enqueue_to("default", "Hold", "held", str(site.place / "let-go-held"))
        wait_until(lambda: redis.llen("started"), what="the job to run")
        victim = workers(site)[MAIL]["pid"]
        assert site.ask("reload", master=True, wait=False)["ok"]
        running.wait_for_event("master_resumed")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: redis.llen(f"{MAIL}:failed"), what="the failure")
        assert redis.llen("resque:failed") == 0
        mail.enqueue_to("default", "Tell", "after")
        site.wait_told("after")


def test_commands_name_the_namespace_where_it_matters(
    site: Site, redis: redis_py.Redis, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with site.running():
        assert site.ask("status")["pools"] == {"default": 2}
        answer = site.ask("scale", queues="default", workers="+1")
        assert answer["error"] == (
            "which pool? name its namespace with -N:"
            " there are 'default' in {mail} and 'default' in resque"
        )
        answer = site.ask("scale", queues="default", namespace=MAIL, workers="+1")
        assert (answer["before"], answer["workers"]) == (1, 2)
        wait_until(lambda: len(ids(redis, MAIL)) == 2, what="two workers of {mail}")
        assert len(ids(redis, "resque")) == 1


def test_the_option_of_a_command_moves_no_pool_of_the_file(
    site: Site, mail: resqued.Client
) -> None:
    site.configure(POOL, pools={"default": 1})
    with site.running():
        mail.enqueue_to("default", "Tell", 1)
        site.wait_told(1)

        def told(*words: str) -> Any:
            where = ("-r", site.url, "-N", MAIL, "-c", str(site.config))
            done = subprocess.run(
                [sys.executable, "-m", "resqued", *words, *where],
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout

        status = json.loads(told("status", "--json"))
        assert len(status["masters"]) == 1
        assert [w["id"] for w in status["workers"]] == [workers(site)[MAIL]["id"]]
        assert len(status["masters"][0]["workers"]) == 2
        (answer,) = json.loads(told("why", "default", "--json"))
        assert (answer["namespace"], len(answer["serving"])) == (MAIL, 1)
        assert told("scale", "default", "2") == "default: 2 workers, before 1\n"
        assert "NAMESPACE" in told("top")
