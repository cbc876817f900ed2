"""The masters: their records, what they publish while looked at, and orders to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.store.master_records import MasterRecords
from resqued.wire.keys import Keys
from resqued.wire.master_record import (
    MasterRecord,
    RecordedLimits,
    RecordedPool,
    RecordedReload,
)
from tests.support.asking import controlled
from tests.support.pages import Open, Pages, text_of
from tests.support.wait import wait_until


def record(**values: Any) -> MasterRecord:
    given: dict[str, Any] = {
        "id": "web2:4711",
        "host": "web2",
        "pid": 4711,
        "version": "1.2",
        "since": 1.0,
        "at": 2.0,
        "state": "running",
        "is_paused": False,
        "generation": 3,
        "pools": (
            RecordedPool(
                name="critical,!low",
                queues=("critical",),
                wanted=4,
                live=3,
                limits=RecordedLimits(runtime=60, memory=1 << 28),
            ),
        ),
    }
    return MasterRecord(**given | values)


@pytest.fixture
def write(client: resqued.Client) -> Callable[[MasterRecord], None]:
    return MasterRecords(client.registry.link, Keys()).write


def test_masters_of_all_hosts_are_listed(
    pages: Pages, write: Callable[[MasterRecord], None]
) -> None:
    failed = RecordedReload(at=5.0, outcome="failed", error="no module named x")
    write(record(last_reload=failed))
    write(record(id="web1:1", host="web1", pid=1, is_paused=True))
    text = pages.text("/masters")
    assert "web1:1 paused critical,!low 4 3 of 4" in text
    assert "reload failed" in text
    assert "no module named x" in text


def test_without_masters_the_page_says_how_to_start_one(pages: Pages) -> None:
    assert "resqued work" in pages.text("/masters")
    assert "no record" in pages.get("/masters/web2:4711", 404).text


def test_a_master_of_another_host_has_commands(
    pages: Pages, write: Callable[[MasterRecord], None]
) -> None:
    write(record(hidden_user="deploy"))
    text = pages.text("/masters/web2:4711")
    assert "ssh web2 sudo -u deploy resqued pause --pid 4711" in text
    assert "1m" in text
    refused = pages.post("/masters/web2:4711", 409, action="pause")
    assert "ssh web2" in refused.text


def test_no_record_makes_an_option_of_a_command(
    pages: Pages, write: Callable[[MasterRecord], None]
) -> None:
    write(record(host="-oProxyCommand=reboot", hidden_user="-i"))
    text = pages.text("/masters/web2:4711")
    assert "resqued pause --pid 4711" in text
    assert "ssh -o" not in text
    assert "sudo" not in text


def test_a_look_has_masters_publish_unless_it_may_change_nothing(
    open_pages: Open,
    write: Callable[[MasterRecord], None],
    redis: redis_py.Redis,
) -> None:
    write(record())
    open_pages(read_only=True).get("/masters/web2:4711")
    assert not redis.exists("resque:resqued:watch")
    pages = open_pages()
    redis.config_resetstat()
    for _ in range(3):
        pages.get("/masters/web2:4711?part=workers")
    assert 0 < redis.ttl("resque:resqued:watch") <= 15
    assert redis.info("commandstats")["cmdstat_set"]["calls"] == 1


@pytest.mark.server_semantics
def test_a_user_who_may_not_write_sees_the_page_all_the_same(
    open_pages: Open,
    write: Callable[[MasterRecord], None],
    redis: redis_py.Redis,
    redis_url: str,
) -> None:
    write(record())
    redis.execute_command(
        *("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-@write")
    )
    try:
        url = redis_url.replace("redis://", "redis://reader:pw@")
        pages = open_pages(url=url)
        redis.config_resetstat()
        for _ in range(3):
            pages.get("/masters/web2:4711")
        assert redis.info("commandstats")["cmdstat_set"]["rejected_calls"] == 1
    finally:
        redis.execute_command("ACL", "DELUSER", "reader")


@pytest.mark.parametrize("raw", [b"x", b"{}", b'{"ok":false,"error":"x"}', b"\xff"])
def test_what_is_no_status_is_none(
    pages: Pages,
    write: Callable[[MasterRecord], None],
    redis: redis_py.Redis,
    raw: bytes,
) -> None:
    write(record())
    redis.set("resque:resqued:detail:web2:4711", raw)
    assert "not published" in pages.text("/masters/web2:4711")


def test_orders_reach_a_master_of_this_host(
    open_pages: Open, redis_url: str, tmp_path: Path, redis: redis_py.Redis
) -> None:
    pages = open_pages(control=str(tmp_path / "run"))
    with controlled(
        *(redis_url, tmp_path, "-n", "1"),
        env={"RESQUED_TIMINGS": "detail_interval=0.1"},
    ) as daemon:
        daemon.wait_for_event("master_ready")
        (key,) = wait_until(lambda: redis.smembers("resque:resqued:masters"), what="id")
        path = f"/masters/{key.decode()}"

        def has(text: str) -> Callable[[], bool]:
            return lambda: text in pages.text(path)

        assert "Commands for this master" not in pages.text(path)
        wait_until(has("waiting"), what="the workers")
        pages.post(path, action="pause")
        assert "is paused; running jobs continue" in pages.get(path).text
        wait_until(has("State paused"), what="the pause")
        pages.post(path, action="resume")
        pages.post(path, action="scale", queues="default", count="+1")
        wait_until(has("default 2 2"), what="the second worker")
        pages.post(path, action="scale", queues="default", count="many")
        assert "many&#39; is not N" in pages.get(path).text
        pages.post(path, action="scale", queues="other", count="1")
        pages.get(path)
        pages.post(path, action="reload")
        wait_until(has("Generation 2"), what="the reload")
        pages.post(path, 400, action="stop")
    actions = [fields[b"action"] for _, fields in redis.xrange("resque:resqued:audit")]
    assert sum(b'"pause"' in each for each in actions) == 1
    assert len(actions) == 6


def test_only_administrators_give_orders(
    open_pages: Open, write: Callable[[MasterRecord], None]
) -> None:
    write(record())
    pages = open_pages(
        auth="proxy", trusted_proxies=("127.0.0.1",), roles={"operator": ("*",)}
    )
    headers = {"X-Remote-User": "anna"}
    shown = pages.get("/masters/web2:4711", headers=headers)
    assert "ssh" not in text_of(shown.text)
    headers["Sec-Fetch-Site"] = "same-origin"
    found = pages.client.post(
        "/masters/web2:4711", data={"action": "pause"}, headers=headers
    )
    assert found.status_code == 403
