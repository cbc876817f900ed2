"""What systemd hears of a master, on a socket of its own."""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis as redis_py

from tests.support.datagrams import fill
from tests.support.pool import pool
from tests.support.site import Site
from tests.support.wait import wait_until


class Listener:
    """Stands where systemd does.

    A thread hears what is said: ten words fit into a socket that nobody reads, and
    then the master drops some.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)
        self.heard: list[str] = []
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while self._take_in():
            select.select([self._socket], [], [])

    def _take_in(self) -> bool:
        """Hear all that was said up to now; answer whether there may be more."""
        with self._turn:
            while True:
                try:
                    told = self._socket.recv(65536).decode()
                except BlockingIOError:
                    return True
                if not told:
                    return False
                self.heard.append(told)

    def words(self, *names: str) -> list[str]:
        """Return what was said so far, of those variables, in order."""
        self._take_in()
        lines = [line for told in self.heard for line in told.splitlines()]
        return [line for line in lines if line.partition("=")[0] in names]

    def wait_for(self, line: str, *, count: int = 1) -> None:
        name = line.partition("=")[0]
        wait_until(
            lambda: self.words(name).count(line) >= count, what=f"{line} x {count}"
        )

    def close(self) -> None:
        # An empty word, which nobody else says.
        self._socket.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()
        Path(self.path).unlink()


@pytest.fixture
def systemd() -> Iterator[Listener]:
    # The name of a Unix socket has no room for the name of a test.
    with (
        tempfile.TemporaryDirectory(prefix="rq-") as place,
        closing(Listener(f"{place}/notify")) as listener,
    ):
        yield listener


STAGES = ("READY", "RELOADING", "STOPPING")


def test_ready_comes_when_every_worker_is_registered(
    systemd: Listener, redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    env = {"NOTIFY_SOCKET": systemd.path}
    with pool(redis_url, tmp_path, workers=3, env=env) as running:
        systemd.wait_for("READY=1")
        assert redis.scard("resque:workers") == 3
        systemd.wait_for("STATUS=3/3 workers, 0 busy, gen 1")
        running.signal(signal.SIGQUIT)
        assert running.wait() == 0
    assert systemd.words(*STAGES) == ["READY=1", "STOPPING=1"]
    assert not systemd.words("MAINPID", "WATCHDOG")


def test_a_reload_begins_and_ends_whatever_becomes_of_it(
    systemd: Listener, site: Site
) -> None:
    with site.running(NOTIFY_SOCKET=systemd.path) as running:
        systemd.wait_for("READY=1")
        running.signal(signal.SIGHUP)
        systemd.wait_for("READY=1", count=2)
        systemd.wait_for("STATUS=2/2 workers, 0 busy, gen 2")
        site.release("two", extra="this is no Python")
        running.signal(signal.SIGHUP)
        systemd.wait_for("READY=1", count=3)
        wait_until(
            lambda: "; reload to gen 3 failed: " in systemd.words("STATUS")[-1],
            what="the failure to be told",
        )
        # Refused before there is anything to start.
        site.config.write_text("[[pool]]\nqueues = 1\n")
        running.signal(signal.SIGHUP)
        systemd.wait_for("READY=1", count=4)
    stages = systemd.words(*STAGES)
    assert stages == ["READY=1", *["RELOADING=1", "READY=1"] * 3, "STOPPING=1"]
    # In one datagram with RELOADING, as systemd wants it.
    told = [told for told in systemd.heard if told.startswith("RELOADING=1")]
    assert all("\nMONOTONIC_USEC=" in each for each in told)


def test_the_master_replaced_in_place_goes_on_telling(
    systemd: Listener, site: Site
) -> None:
    with site.running(NOTIFY_SOCKET=systemd.path) as running:
        systemd.wait_for("READY=1")
        assert site.ask("reload", wait=True, master=True)["ok"]
        systemd.wait_for("STATUS=2/2 workers, 0 busy, gen 2")
        assert running.is_running()
    assert systemd.words(*STAGES)[-2:] == ["READY=1", "STOPPING=1"]


def test_the_watchdog_is_fed_by_a_loop_that_turns(
    systemd: Listener, redis_url: str, tmp_path: Path
) -> None:
    # Nothing asks it to turn more often than this.
    env = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "600000"}
    with pool(redis_url, tmp_path, env=env) as running:
        systemd.wait_for("WATCHDOG=1", count=5)
        running.signal(signal.SIGSTOP)
        wait_until(
            lambda: psutil.Process(running.pid).status() == psutil.STATUS_STOPPED,
            what="the master to freeze",
        )
        fed = len(systemd.words("WATCHDOG"))
        with pytest.raises(AssertionError):
            wait_until(lambda: len(systemd.words("WATCHDOG")) > fed, deadline=2)
        running.signal(signal.SIGCONT)
        wait_until(lambda: len(systemd.words("WATCHDOG")) > fed, what="signs of life")


def test_a_watchdog_of_somebody_else_is_not_fed(
    systemd: Listener, redis_url: str, tmp_path: Path
) -> None:
    env = {
        "NOTIFY_SOCKET": systemd.path,
        "WATCHDOG_USEC": "300000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    with pool(redis_url, tmp_path, env=env):
        systemd.wait_for("READY=1")
    assert systemd.words("WATCHDOG") == []


def test_while_jobs_finish_more_time_is_asked_for(
    systemd: Listener, redis: redis_py.Redis, site: Site
) -> None:
    with site.running(NOTIFY_SOCKET=systemd.path) as running:
        systemd.wait_for("READY=1")
        asked = len(systemd.words("EXTEND_TIMEOUT_USEC"))
        site.hold(1)
        wait_until(lambda: redis.llen("started"), what="the job to start")
        running.signal(signal.SIGQUIT)
        # At once, and again before the first is over.
        wait_until(
            lambda: len(systemd.words("EXTEND_TIMEOUT_USEC")) >= asked + 2,
            what="more time to be asked for",
        )
        site.let_go(1)
        assert running.wait() == 0
    assert [told.number for told in site.told()] == ["1"]
    assert any(
        status.startswith("STATUS=stopping, 1 job still runs, oldest job ")
        for status in systemd.words("STATUS")
    )


def test_what_is_the_masters_alone_never_reaches_jobs(
    systemd: Listener, redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    env = {
        "NOTIFY_SOCKET": systemd.path,
        "WATCHDOG_USEC": "30000000",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
    }
    with pool(redis_url, tmp_path, env=env) as running:
        systemd.wait_for("READY=1")
        wait_until(running.children, what="a child that stands by")
        below = [*running.zygotes(), *running.workers(), *running.children()]
        assert len(below) == 3
        for pid in below:
            private = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"}
            assert not private & psutil.Process(pid).environ().keys()


def test_a_systemd_that_stands_still_stops_nothing(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    job = '{"class":"Nap","args":[600],"limits":{"runtime":1}}'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        fill(tmp_path / "notify")
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with pool(redis_url, tmp_path, env=env) as running:
            running.wait_for_event("master_ready")
            redis.rpush("resque:queue:default", job)
            wait_until(lambda: redis.llen("resque:failed") == 1, what="the limit")
            # Now it listens: what filled the socket, keep-alives, and the rest.
            listener.settimeout(60)
            while listener.recv(4096) != b"READY=1":
                pass


def test_a_listener_that_is_gone_is_no_reason_to_stop(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, env={"NOTIFY_SOCKET": "/nowhere"}) as running:
        running.wait_for_event("master_ready")
        assert running.is_running()
