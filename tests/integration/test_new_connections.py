"""A connection that the server closes before the first command is opened once more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.store.connection import Link, SingleLink
from resqued.store.store_errors import DisconnectedError
from tests.support.cli import run_command
from tests.support.pool import pool
from tests.support.proxy import Proxy

WAYS: dict[str, Callable[[str], Any]] = {
    "a command": lambda url: Link(url).call("GET", "key"),
    "commands in one write": lambda url: Link(url).pipeline([("GET", "key")]),
    "a command of a process": lambda url: SingleLink(url).call("GET", "key"),
    "a packed command": lambda url: SingleLink(url).call_packed(
        b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
    ),
    "an enqueue": lambda url: resqued.Client(url).enqueue_to("default", "Noop"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_second_connection_is_opened(
    way: str, proxy: Proxy, redis: redis_py.Redis
) -> None:
    proxy.hang_up(1)
    WAYS[way](proxy.url)
    assert proxy.counts().accepted == 2
    assert redis.llen("resque:queue:default") == (way == "an enqueue")


@pytest.mark.parametrize("way", WAYS)
def test_a_third_is_not(way: str, proxy: Proxy, redis: redis_py.Redis) -> None:
    proxy.hang_up(2)
    with pytest.raises(DisconnectedError, match="before the first command"):
        WAYS[way](proxy.url)
    assert proxy.counts().accepted == 2
    assert redis.llen("resque:queue:default") == 0


def test_a_refused_login_is_not_repeated(proxy: Proxy) -> None:
    with pytest.raises(resqued.StoreError, match="refused the login"):
        Link(proxy.url.replace("redis://", "redis://nobody:wrong@")).ping()
    assert proxy.counts().accepted == 1


def test_commands_and_masters_start(proxy: Proxy, tmp_path: Path) -> None:
    proxy.hang_up(1)
    listed = run_command("queues", "-r", proxy.url, cwd=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    proxy.hang_up(1)
    with pool(proxy.url, tmp_path) as running:
        running.wait_for_event("master_ready")
        assert running.events("redis_lost") == []
