"""`resqued doctor` as a program: against servers of all kinds, and an application."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from resqued.diagnostics.checks import Finding, ok, unchecked
from resqued.diagnostics.checkup import bounded, redis_hangs
from resqued.system import process
from resqued.system.redis_server import EmbeddedServer
from tests.support.cli import add_worker, run_command, server_time
from tests.support.pool import pool
from tests.support.wait import wait_until

POOL = '[[pool]]\nqueues = "default"\n'
Findings = dict[str, dict[str, str]]
Doctor = Callable[..., Findings]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Run it with a configuration; answer its findings by check, the gravest of each.

    Nothing may stand on standard error, whatever it meets.
    """

    def examine(
        url: str,
        *args: str,
        config: str = POOL,
        status: int = 0,
        env: dict[str, str] | None = None,
    ) -> Findings:
        file = tmp_path / "doctor.toml"
        file.write_text(f'[control]\ndirectory = "{tmp_path / "control"}"\n{config}')
        done = run_command(
            "doctor", "--json", "-r", url, "-c", str(file), *args, cwd=tmp_path, env=env
        )
        assert done.stderr == ""
        assert done.returncode == status, done.stdout
        grave = ["ok", "not checked", "warning", "problem"]
        found = sorted(json.loads(done.stdout), key=lambda f: grave.index(f["verdict"]))
        return {finding["check"]: finding for finding in found}

    return examine


def of(findings: Findings, verdict: str) -> set[str]:
    return {check for check, f in findings.items() if f["verdict"] == verdict}


@pytest.mark.server_semantics
def test_a_healthy_server_with_a_pool(
    doctor: Doctor, server_binary: Path | None, tmp_path: Path
) -> None:
    config = (
        f'[control]\ndirectory = "{tmp_path / "control"}"\n{POOL}'
        '[app]\nimport = ["tests.support.jobs"]\n'
    )
    with EmbeddedServer.start(
        tmp_path / "server", append_only=True, binary=server_binary
    ) as server:
        env = {"TEST_REDIS_URL": server.url}
        with pool(server.url, tmp_path, config=config) as daemon:
            daemon.wait_for_event("master_ready")
            found = doctor(
                server.url, config=config.partition("\n")[2].partition("\n")[2], env=env
            )
            assert f"masters {daemon.pid} answer" in found["control"]["text"]
    assert not of(found, "problem")
    assert not of(found, "warning")
    # systemd alone may be missing where tests run.
    assert {check for check in of(found, "not checked") if check != "units"} == set()
    assert "1 worker alive" in found["registry"]["text"]
    assert "tests.support.jobs: imported" in found["application"]["text"]
    assert "CLIENT TRACKING works" in found["tracking"]["text"]


@pytest.mark.server_semantics
def test_a_server_that_may_delete_queues(
    doctor: Doctor, server_binary: Path | None, tmp_path: Path
) -> None:
    options = {"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"}
    with EmbeddedServer.start(
        tmp_path / "server", binary=server_binary, options=options
    ) as server:
        found = doctor(server.url, status=1)
    assert of(found, "problem") == {"redis policy"}
    assert "allkeys-lru deletes queues" in found["redis policy"]["text"]
    assert found["redis policy"]["remedy"] == "set maxmemory-policy noeviction"
    assert found["redis persistence"]["verdict"] == "warning"


@pytest.mark.server_semantics
def test_a_replica(
    doctor: Doctor, server: EmbeddedServer, server_binary: Path | None, tmp_path: Path
) -> None:
    with EmbeddedServer.start(
        tmp_path / "server",
        binary=server_binary,
        options={"replicaof": f"127.0.0.1 {server.port}"},
    ) as replica:
        found = doctor(replica.url, status=1)
    assert "redis role" in of(found, "problem")
    assert f"127.0.0.1:{server.port}" in found["redis role"]["text"]


def test_no_server(doctor: Doctor, closed_port: int) -> None:
    found = doctor(f"redis://:secret@127.0.0.1:{closed_port}", status=1)
    assert of(found, "problem") == {"redis"}
    assert "Connection refused" in found["redis"]["text"]
    assert "secret" not in json.dumps(found)
    assert found["registry"]["verdict"] == "not checked"
    assert found["open files"]["verdict"] == "ok"


@contextmanager
def stranger(answer: bytes) -> Iterator[str]:
    """A server that answers whatever it is asked with the same, or with nothing."""
    peers: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peers.append(peer)
            if answer:
                # It may have heard enough, or have given up.
                with suppress(OSError):
                    peer.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for peer in peers:
                peer.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50,
        b"\0\xff\x80 garbage\r\n" * 50,
        b"+OK\r\n" * 50,
        # Room for all is made before the first comes: for a billion it took seconds.
        b"*10000000\r\n",
        b"$-7\r\n:x\r\n" * 50,
        b"",
    ],
)
def test_a_server_that_speaks_something_else(doctor: Doctor, answer: bytes) -> None:
    with stranger(answer) as url:
        found = doctor(url, config=f'{POOL}[redis]\ntimeout = "1s"\n', status=1)
    assert of(found, "problem") == {"redis"}
    assert found["redis"]["text"].startswith(f"redis at {url}: ")


def test_an_application_that_leaves_a_thread_and_sockets(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import os, pathlib, socket, subprocess, sys, threading, time\n"
        "print('noise', file=sys.stderr)\n"
        f"redis = socket.create_connection(('127.0.0.1', {server.port}))\n"
        "unix = socket.socket(socket.AF_UNIX); unix.bind('app.sock'); unix.listen()\n"
        "pair = socket.socketpair()\n"
        "threading.Thread(target=time.sleep, args=(600,), name='metrics').start()\n"
        "started = subprocess.Popen(['sleep', '600'])\n"
        "pathlib.Path('pids').write_text(f'{os.getpid()} {started.pid}')\n"
    )
    found = doctor(server.url, "-a", "app")
    assert found["application"]["verdict"] == "ok"
    assert of(found, "warning") >= {"threads", "sockets"}
    assert "1 thread running: metrics;" in found["threads"]["text"]
    assert found["sockets"]["text"].endswith(
        f"share: tcp to 127.0.0.1:{server.port}, unix at app.sock"
    )
    pids = (tmp_path / "pids").read_text().split()
    # They are killed, which may take a moment.
    wait_until(lambda: not any(map(process.title, map(int, pids))), what="their end")


def test_an_application_that_cannot_be_imported(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import math\nmath.nope\n")
    found = doctor(server.url, "-a", "app", status=1)
    assert of(found, "problem") == {"application"}
    assert f"AttributeError at {tmp_path}/app.py:2" in found["application"]["text"]
    assert of(found, "not checked") >= {"threads", "sockets"}
    found = doctor(server.url, "-a", "app", "--no-import")
    assert found["application"]["text"] == "--no-import"


def test_an_environment_that_is_not_there(
    doctor: Doctor, server: EmbeddedServer
) -> None:
    config = f'{POOL}[app]\nimport = ["math"]\nenvironment = "nope"\n'
    found = doctor(server.url, config=config, status=1)
    assert of(found, "problem") == {"application"}
    assert "environment file nope cannot be read" in found["application"]["text"]


def test_a_configuration_that_is_wrong(doctor: Doctor, server: EmbeddedServer) -> None:
    found = doctor(server.url, config="[redsi]\n[worker]\nnice = 99\n", status=1)
    assert of(found, "problem") == {"configuration"}
    assert "did you mean 'redis'?" in found["configuration"]["text"]
    assert "[worker] nice: 99" in found["configuration"]["text"]
    assert of(found, "not checked") == set(found) - {"configuration"}


def test_a_control_directory_that_others_may_write(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path
) -> None:
    place = tmp_path / "control"
    place.mkdir()
    place.chmod(0o777)
    found = doctor(server.url, status=1)
    assert of(found, "problem") == {"control"}
    assert f"{place} can be written by others" in found["control"]["text"]


def test_the_socket_of_a_master_that_was_killed(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path
) -> None:
    place = tmp_path / "control"
    place.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(place / "4711.sock"))
    found = doctor(server.url)
    assert f"no answer from {place}/4711.sock" in found["control"]["text"]
    assert (place / "4711.sock").exists()


def test_workers_that_are_gone_and_a_heartbeat_of_the_future(
    doctor: Doctor, redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    add_worker(redis, "other:1:mail", server_time(redis, 4000))
    add_worker(redis, "other:2:mail")
    add_worker(redis, "other:3:mail", server_time(redis, -600))
    findings = _all_of(doctor, redis_url, tmp_path)
    told = " ".join(f["text"] for f in findings)
    assert "1 worker silent: other:1:mail" in told
    assert "1 worker unknown: other:2:mail" in told
    assert "heartbeats of the future: other:3:mail" in told


def _all_of(doctor: Doctor, url: str, tmp_path: Path) -> list[dict[str, Any]]:
    doctor(url)  # writes the configuration
    done = run_command("doctor", "-r", url, "--json", cwd=tmp_path)
    return [f for f in json.loads(done.stdout) if f["check"] == "registry"]


@pytest.mark.server_semantics
def test_a_user_that_may_not_ask(
    doctor: Doctor, redis: redis_py.Redis, redis_url: str
) -> None:
    redis.execute_command(
        *("ACL", "SETUSER", "narrow", "reset", "on", ">p", "~resque:*"),
        *("+@all", "-info", "-client|tracking", "-config"),
    )
    try:
        found = doctor(redis_url.replace("redis://", "redis://narrow:p@"))
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    assert found["redis"]["verdict"] == "ok"
    assert "INFO is refused" in found["redis policy"]["text"]
    assert found["redis policy"]["verdict"] == "not checked"
    assert found["tracking"]["verdict"] == "warning"
    assert "p@" not in json.dumps(found).replace(":***@", "")


@pytest.mark.server_semantics
def test_a_user_that_may_do_nothing_but_ping(
    doctor: Doctor, redis: redis_py.Redis, redis_url: str
) -> None:
    redis.execute_command("ACL", "SETUSER", "poor", "reset", "on", ">p", "+ping")
    try:
        found = doctor(redis_url.replace("redis://", "redis://poor:p@"), status=1)
    finally:
        redis.execute_command("ACL", "DELUSER", "poor")
    assert of(found, "problem") == {"redis"}
    assert "permission" in found["redis"]["text"].lower()


def test_a_server_that_is_stopped_is_given_up(
    doctor: Doctor, server_binary: Path | None, tmp_path: Path
) -> None:
    with EmbeddedServer.start(tmp_path / "server", binary=server_binary) as server:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            config = f'{POOL}[redis]\ntimeout = "1s"\n'
            found = doctor(server.url, config=config, status=1)
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert "redis" in of(found, "problem")


@pytest.mark.parametrize("late", [unchecked, redis_hangs])
def test_a_part_that_hangs_is_given_up_and_what_it_found_is_kept(
    late: Callable[[str, str], Finding],
) -> None:
    end = threading.Event()

    def look() -> Iterator[Finding]:
        yield ok("disk", "fine so far")
        end.wait()

    # Time enough for what is to be found.
    found = bounded("disk", look, 1.0, late=late)
    end.set()
    assert found == [ok("disk", "fine so far"), late("disk", "no end within 1 s")]


def test_a_fault_of_our_own_is_told_as_one() -> None:
    def look() -> Iterator[Finding]:
        yield ok("disk", "fine so far")
        raise AssertionError("ours")

    with pytest.raises(AssertionError, match="ours"):
        bounded("disk", look)


SYSTEMCTL = """#!/bin/sh
case "$*" in
    list-units*) echo "resqued.service loaded active running jobs" ;;
    list-unit-files*) echo "resqued@.service enabled enabled"
        echo "resqued-old.service masked enabled" ;;
    "show resqued.service"*) printf 'KillMode=%s\\nTimeoutStopUSec=1min 30s\\n' "$MODE"
        printf 'OOMPolicy=continue\\nLoadState=loaded\\n' ;;
    "show resqued-old.service"*) echo LoadState=masked ;;
    *) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("mode", "verdict"), [("mixed", "ok"), ("control-group", "warning")]
)
def test_the_units_of_systemd(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path, mode: str, verdict: str
) -> None:
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    found = doctor(server.url, env={"PATH": path, "MODE": mode})
    assert {check for check in found if check.startswith("unit")} == {
        "unit resqued.service"
    }
    assert found["unit resqued.service"]["verdict"] == verdict


def test_without_systemd_its_units_are_not_checked(
    doctor: Doctor, server: EmbeddedServer, tmp_path: Path
) -> None:
    found = doctor(server.url, env={"PATH": str(tmp_path)})
    assert found["units"]["text"] == "there is no systemctl here"
    assert found["units"]["verdict"] == "not checked"


def test_lines_for_people(server: EmbeddedServer, tmp_path: Path) -> None:
    done = run_command("doctor", "-r", server.url, cwd=tmp_path)
    words = {line[:11].strip() for line in done.stdout.splitlines()}
    assert words <= {"ok", "warning", "problem", "not checked"}
    assert all(line[11:13] == "  " for line in done.stdout.splitlines())
