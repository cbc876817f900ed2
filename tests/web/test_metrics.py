"""/metrics, as Prometheus reads it."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
import redis as redis_py
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import resqued
from resqued.cli import cli
from resqued.core.run_tally import RunTally
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.web.users import hash_token
from resqued.wire.keys import Keys
from resqued.wire.worker_entry import Identity
from tests.support.cli import add_failure
from tests.support.master_records import write_master
from tests.support.pages import Open, Pages

KEYS = Keys()
CONTRIB = Path(__file__).parents[2] / "contrib"
_NAME = re.compile(r"\bresqued_[a-z_]+\b")


def values(pages: Pages, **options: object) -> dict[tuple[str, ...], float]:
    """Return each value by its name and labels; fail for a name that comes twice."""
    text = pages.get("/metrics", **options).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def test_queues_failures_and_jobs_are_counted(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("critical", "Archive", 1)
    client.enqueue_to('a"b\nc', "Archive", 1)
    add_failure(redis, 1)
    redis.set("resque:stat:processed", 7)
    found = values(pages)
    assert found["resqued_up",] == 1
    assert found["resqued_queue_jobs", "critical"] == 1
    assert found["resqued_queue_jobs", 'a"b\nc'] == 1
    assert found["resqued_queue_workers", "critical"] == 0
    assert found["resqued_pending_jobs",] == 2
    assert found["resqued_failures",] == 1
    assert found["resqued_jobs_processed_total",] == 7
    assert found["resqued_workers", "working"] == 0


def test_workers_serve_what_their_lists_say(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_to("high", "Archive", 1)
    client.enqueue_to("low", "Archive", 1)
    for worker in ("web1:1:high,low", "web2:2:*", "web3:3:other"):
        redis.sadd("resque:workers", worker)
    found = values(pages)
    unknown = found["resqued_workers", "unknown"]
    assert unknown + found["resqued_workers", "idle"] == 3
    assert found["resqued_queue_workers", "high"] == 2 - min(2, unknown)


def test_many_queues_do_not_make_many_series(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", *(f"q{n}" for n in range(1_000)))
    found = values(pages)
    assert sum(key[0] == "resqued_queue_jobs" for key in found) == 200
    assert found["resqued_queues_omitted",] == 800


def test_a_scrape_succeeds_while_redis_is_away(open_pages: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = values(open_pages(url=f"redis://127.0.0.1:{port}"))
    assert found["resqued_up",] == 0


@pytest.mark.parametrize("is_open", [True, False])
def test_a_login_guards_them_unless_they_are_open(
    open_pages: Open, is_open: bool
) -> None:
    kind = "open" if is_open else "login"
    token = {"prom": f"metrics:{hash_token('t')}"}
    pages = open_pages(auth="proxy", metrics=kind, tokens=token)
    pages.get("/metrics", 200 if is_open else 401)
    pages.get("/metrics", headers={"Authorization": "Bearer t"})


def test_classes_have_runs_and_times_and_the_rest_is_one(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    link = SingleLink(client.url)
    tally = RunTally()
    for n in range(103):
        for _ in range(2 if n < 100 else 1):
            tally.count(f"C{n:03}", "q", 40, has_failed=n == 0)
    HistoryWriter(link, Keys()).add_runs(tally)
    link.close()
    found = values(pages)
    assert found["resqued_class_jobs_total", "C000", "failed"] == 2
    assert found["resqued_class_jobs_total", "C001", "succeeded"] == 2
    assert found["resqued_class_jobs_total", "other", "succeeded"] == 3
    assert ("resqued_class_jobs_total", "C101", "succeeded") not in found
    name = "resqued_job_duration_seconds"
    assert found[f"{name}_bucket", "C001", "0.03"] == 0
    assert found[f"{name}_bucket", "C001", "0.05"] == 2
    assert found[f"{name}_bucket", "C001", "+Inf"] == 2
    assert found[f"{name}_sum", "other"] == pytest.approx(0.12)
    redis.config_resetstat()
    values(pages)
    assert "cmdstat_getrange" not in redis.info("commandstats")


def test_paused_queues_and_masters_are_counted(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("low", "Archive", 1)
    client.enqueue_to("high", "Archive", 1)
    client.pause_queue("low")
    found = values(pages)
    assert found["resqued_queue_paused", "low"] == 1
    assert found["resqued_queue_paused", "high"] == 0
    assert found["resqued_masters", "running"] == 0


def expressions() -> dict[str, str]:
    """Return what the files of contrib ask Prometheus for, by place."""
    alerts = yaml.safe_load((CONTRIB / "prometheus" / "alerts.yaml").read_text("utf-8"))
    found = {
        f"alert {rule['alert']}": rule["expr"]
        for group in alerts["groups"]
        for rule in group["rules"]
    }
    board = json.loads((CONTRIB / "grafana" / "resqued.json").read_text("utf-8"))
    for panel in board["panels"]:
        found[f"panel {panel['title']}"] = " ".join(
            target["expr"] for target in panel["targets"]
        )
    for variable in board["templating"]["list"]:
        found[f"variable {variable['name']}"] = variable["query"]
    manifest = (CONTRIB / "container" / "kubernetes.yaml").read_text("utf-8")
    for one in yaml.safe_load_all(manifest):
        if one["kind"] == "HorizontalPodAutoscaler":
            metrics = one["spec"]["metrics"]
            found["scaling"] = " ".join(
                m["external"]["metric"]["name"] for m in metrics
            )
    return found


def test_every_metric_that_contrib_names_is_there(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("mail", "Archive", 1)
    link = SingleLink(client.url)
    tally = RunTally()
    tally.count("Archive", "mail", 40, has_failed=True)
    HistoryWriter(link, Keys()).add_runs(tally)
    link.close()
    # The first scrape is an answer that the second counts.
    values(pages)
    known = {key[0] for key in values(pages)}
    named = {place: set(_NAME.findall(text)) for place, text in expressions().items()}
    assert not {place: names - known for place, names in named.items() if names - known}
    assert named["scaling"]
    board = {
        name for place in named if place.startswith("panel") for name in named[place]
    }
    # The board shows every metric but the versions.
    families = {re.sub("_(bucket|sum|count|created)$", "", name) for name in known}
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in board}
    assert families - shown == {"resqued_build_info"}


def register(redis: redis_py.Redis, worker_id: str, *, is_own: bool = True) -> None:
    """Register an idle worker that is alive."""
    redis.sadd("resque:workers", worker_id)
    redis.hset("resque:workers:heartbeat", worker_id, "2999-01-01T00:00:00Z")
    if is_own:
        pid = int(worker_id.split(":")[1])
        identity = Identity("boot", "4026531836", pid, 1_000, 60.0, "1")
        redis.hset(KEYS.identities, worker_id, identity.encode())


def test_workers_that_wait_because_of_a_pause_are_paused(
    open_pages: Open, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for worker_id in ("web1:1:*", "web2:2:*"):
        register(redis, worker_id)
    register(redis, "web2:3:*", is_own=False)
    for host, is_paused in (("web1", False), ("web2", True)):
        write_master(redis, host, is_paused=is_paused)
    found = values(open_pages())
    assert found["resqued_masters", "paused"] == 1
    states = {key[1]: int(n) for key, n in found.items() if key[0] == "resqued_workers"}
    assert set(states) == {"working", "idle", "paused", "dead", "silent", "unknown"}
    # Their clock is ahead.
    assert found["resqued_heartbeat_age_seconds",] == 0
    # The worker of another library knows nothing of a master.
    assert (states["paused"], states["idle"]) == (1, 2)
    redis.set("resque:pause-all-workers", "true")
    found = values(open_pages())
    assert found["resqued_workers", "paused"] == 3
    assert found["resqued_paused",] == 1


def test_names_types_and_helps_are_what_promtool_asks_for(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("mail", "Archive", 1)
    link = SingleLink(client.url)
    tally = RunTally()
    tally.count("Archive", "mail", 40, has_failed=True)
    HistoryWriter(link, Keys()).add_runs(tally)
    link.close()
    pages.get("/metrics")
    text = pages.get("/metrics").text
    assert text.endswith("\n")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.M))
    assert types.keys() == helps.keys()
    for name, kind in types.items():
        assert re.fullmatch(r"resqued_[a-z_]+", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not name.endswith(("_bucket", "_count", "_sum", "_info_info")), name
        assert not re.search("milli|minute|hour|kilo|_(ms|min|kb|mb)$", name), name
        assert kind not in name.split("_"), name
    documented = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")
    assert not [name for name in types if f"`{name}`" not in documented]
    timed = {name for name in types if re.search("age|duration|trip|oldest", name)}
    assert all(name.endswith("_seconds") for name in timed)
    families = {each.name for each in text_string_to_metric_families(text)}
    assert families == {name.removesuffix("_total") for name in types}


def test_names_that_begin_alike_have_one_series(
    pages: Pages, redis: redis_py.Redis
) -> None:
    long = "q" * 2_000
    redis.sadd("resque:queues", long, f"{long}2", b"a\xff", "a\\udcff", "plain")
    text = pages.get("/metrics").text
    found = values(pages)
    queues = [key[1] for key in found if key[0] == "resqued_queue_jobs"]
    assert len(queues) == 3
    assert found["resqued_queues_omitted",] == 2
    assert max(map(len, text.splitlines())) < 1_100


def test_alerts_name_commands_that_exist() -> None:
    text = (CONTRIB / "prometheus" / "alerts.yaml").read_text("utf-8")
    named = re.findall(r"`resqued ([a-z ]+?)(?: \{\{[^`]*)?`", text)
    assert len(named) > 5
    for words in named:
        result = CliRunner().invoke(cli, [*words.split(), "--help"])
        assert result.exit_code == 0, words
