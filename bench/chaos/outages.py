"""Faults of Redis and of the connections to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from bench.chaos.site import Site, kill
from resqued.errors import EmbeddedServerError
from tests.support.wait import wait_until

# A short time-out, so that waiting for a reply ends within the fault.
QUICK = "[redis]\ntimeout = '500ms'\n"
AWAY = 1.5


def cut_connections(site: Site) -> None:
    since = time.monotonic()
    site.redis.client_kill_filter(_type="normal", skipme=True)
    site.recover(since=since)


def flush_scripts(site: Site) -> None:
    since = time.monotonic()
    site.redis.script_flush()
    site.recover(since=since)


def swallow_replies(site: Site) -> None:
    lost = site.proxy.counts().lost
    wanted = site.random.randint(1, 4)
    site.proxy.swallow_replies(count=wanted, of="EVALSHA")
    site.wait(
        lambda: site.proxy.counts().lost >= lost + wanted, "replies to be swallowed"
    )
    since = time.monotonic()
    site.proxy.forward()
    site.recover(since=since)


def black_hole(site: Site) -> None:
    site.feed()
    site.proxy.black_hole()
    time.sleep(AWAY)
    since = time.monotonic()
    site.proxy.forward()
    site.recover(since=since)


def pause_clients(site: Site) -> None:
    site.feed()
    site.redis.client_pause(int(AWAY * 1000), all=site.random.random() < 0.5)
    time.sleep(AWAY)
    site.recover(since=time.monotonic())


def restart_server(site: Site) -> None:
    site.feed()
    port = site.server.port
    os.kill(site.server.pid, signal.SIGKILL)
    site.server.stop()
    since = time.monotonic()
    wait_until(lambda: _is_back(site, port), what=f"the server on port {port}")
    site.recover(since=since)


def _is_back(site: Site, port: int) -> bool:
    """Start the server; return False if its port is in use for the moment."""
    with suppress(EmbeddedServerError):
        site.start_server(port)
        return True
    return False


def stop_server(site: Site) -> None:
    site.feed()
    os.kill(site.server.pid, signal.SIGSTOP)
    try:
        time.sleep(2 * AWAY)
    finally:
        since = time.monotonic()
        os.kill(site.server.pid, signal.SIGCONT)
    site.recover(since=since)


def run_out_of_memory(site: Site) -> None:
    """Let the server refuse writes; in half of the tries kill a worker meanwhile."""

    def begin() -> None:
        site.redis.config_set("maxmemory", 1)

    def end() -> None:
        site.redis.config_set("maxmemory", 0)

    _while(site, begin, end)


def become_a_replica(site: Site) -> None:
    """Make the server read-only; in half of the tries kill a worker meanwhile."""

    def begin() -> None:
        site.redis.execute_command("REPLICAOF", "127.0.0.1", "1")

    def end() -> None:
        site.redis.execute_command("REPLICAOF", "NO", "ONE")

    _while(site, begin, end)


def _while(site: Site, begin: Callable[[], None], end: Callable[[], None]) -> None:
    site.feed()
    job, worker = site.pick()
    begin()
    try:
        time.sleep(AWAY / 2)
        if site.random.random() < 0.5:
            kill(worker)
        time.sleep(AWAY / 2)
    finally:
        since = time.monotonic()
        end()
    site.recover([job.number], since=since)
