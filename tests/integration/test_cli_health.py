"""`resqued status --check` and `--alive`: what a probe hears of a real pool."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_py

import resqued
from resqued.errors import ControlError, ExitCode, StoreError
from resqued.store.server_url import redact
from resqued.system import process
from resqued.system.redis_server import EmbeddedServer
from tests.support.cli import Run, fail
from tests.support.daemon import RESQUED, Daemon
from tests.support.pool import pool
from tests.support.proxy import Proxy
from tests.support.wait import scaled, wait_until

# No worker is registered as long as this application is not imported. It has to look
# for the file again and again.
SLOW = """
import pathlib, time
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands look for masters: where those of this test are."""
    place = tmp_path / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
    return place


def refused(run: Run, *args: str) -> tuple[str, int]:
    """Run a probe that must fail; return the line and the status."""
    error = run("status", *args, fails=resqued.ResquedError).exception
    assert isinstance(error, resqued.ResquedError)
    return str(error), error.exit_code


def test_a_pool_with_all_its_workers_is_well(run: Run, daemon: Daemon) -> None:
    line = f"master {daemon.pid} is running, with 2 workers\n"
    assert run("status", "--check").stdout == line
    assert run("status", "--alive").stdout == line
    # A pause is wanted by somebody, and no reason to restart anything.
    run("pause")
    assert run("status", "--check").stdout == (
        f"master {daemon.pid} is running and paused, with 2 workers\n"
    )


def test_a_pool_that_is_still_starting_is_alive_and_not_well(
    run: Run, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with pool(redis_url, tmp_path, "-a", "slow", workers=2) as daemon:
        wait_until(lambda: run("status", "--json").stdout.count('"generation": 1'))
        message, status = refused(run, "--check")
        assert message == (
            f"master {daemon.pid} has 0 of 2 workers on default;"
            " its log and `resqued status` say more"
        )
        assert status == ExitCode.FAILED
        assert run("status", "--alive").exit_code == 0
        (tmp_path / "go").touch()
        run("status", "--check", "--wait", f"{scaled(60):g}s")
        assert daemon.events("master_ready")


def test_a_worker_that_dies_is_missed_until_there_is_another(
    run: Run, daemon: Daemon
) -> None:
    worker, other = daemon.workers()
    os.kill(worker, signal.SIGKILL)
    daemon.wait_for_event("worker_died")
    run("status", "--check", "--wait", f"{scaled(60):g}s")
    assert len(set(daemon.workers()) - {worker, other}) == 1


def test_workers_that_the_master_has_no_descriptors_for_are_missed_with_the_reason(
    run: Run, redis_url: str, tmp_path: Path
) -> None:
    few = ("sh", "-c", 'ulimit -Sn 24; exec "$@"', "sh", *RESQUED)
    with pool(redis_url, tmp_path, workers=8, command=few) as daemon:
        event = daemon.wait_for_event("worker_not_spawned")[0]
        reason = "Too many open files (in the master)"
        assert event["reason"] == reason
        message, status = refused(run, "--check")
        assert message.startswith(f"master {daemon.pid} has ")
        assert message.endswith(f" of 8 workers on default; {reason}")
        assert status == ExitCode.FAILED
        shown = run("status").stdout.splitlines()
        assert f"workers are missing: {reason}" in shown
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (hard, hard))
        daemon.wait_for_event("master_ready")
        run("status", "--check")
        assert len(daemon.events("worker_not_spawned")) <= 2, "not at each try"


def test_a_master_that_is_about_to_stop_is_alive_and_not_well(
    run: Run, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Nap", 300)
        assert redis.blpop("started", scaled(30))
        daemon.signal(signal.SIGQUIT)
        daemon.wait_for_event("state_changed")
        message, status = refused(run, "--check")
        assert message == f"master {daemon.pid} is quitting: it takes no more jobs"
        assert status == ExitCode.FAILED
        run("status", "--alive")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


@pytest.mark.parametrize("probe", ["--check", "--alive"])
def test_a_pool_of_another_redis_is_not_the_one_that_is_meant(
    run: Run, daemon: Daemon, closed_port: int, probe: str
) -> None:
    away = f"redis://127.0.0.1:{closed_port}"
    message, status = refused(run, probe, "-r", away)
    assert message.startswith(f"no master here serves {away}, namespace resque;")
    assert status == ExitCode.UNAVAILABLE


@pytest.mark.parametrize("probe", ["--check", "--alive"])
def test_a_master_is_found_by_its_redis_and_not_by_a_copy_of_that(
    run: Run, daemon: Daemon, redis_url: str, tmp_path: Path, probe: str
) -> None:
    alias = redis_url.replace("127.0.0.1", "127.1")
    line = f"master {daemon.pid} is running, with 2 workers\n"
    assert run("status", probe, "-r", alias).stdout == line
    parts = urlsplit(redis_url)
    options = {
        "replicaof": f"127.0.0.1 {parts.port}",
        "masterauth": parts.password or "",
    }
    with (
        EmbeddedServer.start(tmp_path / "copy", options=options) as replica,
        redis_py.Redis.from_url(replica.url) as copy,
    ):
        wait_until(lambda: copy.exists("resque:workers"), what="the copy")
        for other in (f"{alias.removesuffix('/0')}/9", replica.url):
            message, status = refused(run, probe, "-r", other)
            assert message.startswith(f"no master here serves {redact(other)}, names")
            assert status == ExitCode.UNAVAILABLE
        words = ("enqueue", "Run", "-q", "q", "-r", replica.url)
        assert "READONLY" in str(run(*words, fails=StoreError).exception)


def test_the_redis_of_the_master_counts(
    run: Run, redis_url: str, tmp_path: Path
) -> None:
    with (
        Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as proxy,
        pool(
            proxy.url,
            tmp_path,
            direct_url=redis_url,
            env={"RESQUED_TIMINGS": "redis_check_interval=0.1"},
        ) as daemon,
    ):
        daemon.wait_for_event("master_ready")
        proxy.refuse()
        proxy.cut()
        line = "redis is away"
        wait_until(lambda: line in process.title(daemon.pid), what="the title")
        message, status = refused(run, "--check", "-r", proxy.url)
        assert message.startswith(f"master {daemon.pid} cannot use Redis: redis at ")
        assert status == ExitCode.UNAVAILABLE
        run("status", "--alive", "-r", proxy.url)
        shown = run("status", "-r", proxy.url, fails=StoreError).stdout.splitlines()
        away = "no job can be taken or recorded: redis at "
        assert any(line.startswith(away) for line in shown)
        proxy.forward()
        run("status", "--check", "-r", proxy.url, "--wait", f"{scaled(60):g}s")


@pytest.mark.server_semantics
@pytest.mark.parametrize(
    ("refuse", "accept", "reason"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "replica"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "memory"),
    ],
)
def test_a_server_that_takes_no_writes_is_not_well(  # noqa: PLR0917 - fixtures
    run: Run,
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
    refuse: str,
    accept: str,
    reason: str,
) -> None:
    env = {"RESQUED_TIMINGS": "redis_check_interval=0.1"}
    with pool(redis_url, tmp_path, env=env) as daemon:
        daemon.wait_for_event("master_ready")
        redis.execute_command(*refuse.split())
        try:
            daemon.wait_for_event("redis_lost")
            message, status = refused(run, "--check")
            assert reason in message
            assert ("until this server is the primary" in message) == (
                reason == "replica"
            )
            assert status == ExitCode.UNAVAILABLE
            wait = ("reload", "--wait", "--timeout", "100ms")
            message = str(run(*wait, fails=ControlError).exception)
            assert "has not got there within 0.1 s, and continues; no worker" in message
            assert reason in message
        finally:
            redis.execute_command(*accept.split())
        daemon.wait_for_event("redis_restored")
        run("status", "--check", "--wait", f"{scaled(60):g}s")
        daemon.wait_for_event("reload_done")
        assert redis.exists("resque:resqued:write-check") == 0


@pytest.mark.parametrize("probe", ["--check", "--alive"])
def test_without_a_master_nothing_is_well(
    run: Run, directory: Path, probe: str
) -> None:
    message, status = refused(run, probe, "--wait", "1ms")
    assert message == (
        f"no master runs here: there is no socket of one in {directory};"
        " start one, or run this as the user of the master"
    )
    assert status == ExitCode.UNAVAILABLE


@pytest.mark.parametrize("probe", ["--check", "--alive"])
def test_a_master_that_is_stopped_is_not_well(
    run: Run, daemon: Daemon, probe: str
) -> None:
    daemon.signal(signal.SIGSTOP)
    try:
        message, status = refused(run, probe)
    finally:
        daemon.signal(signal.SIGCONT)
    assert message.startswith(f"master {daemon.pid} does not answer within 5 s")
    assert status == ExitCode.UNAVAILABLE


def test_one_master_of_several_that_is_not_well_is_named(
    run: Run, redis_url: str, tmp_path: Path
) -> None:
    with (
        pool(redis_url, tmp_path) as one,
        pool(redis_url, tmp_path, queues="other") as other,
    ):
        one.wait_for_event("master_ready")
        other.wait_for_event("master_ready")
        assert len(run("status", "--check").stdout.splitlines()) == 2
        other.signal(signal.SIGSTOP)
        try:
            error = run("status", "--check", fails=ControlError).exception
        finally:
            other.signal(signal.SIGCONT)
        assert str(error).startswith(f"master {other.pid} ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--check", "--alive"), "give --check or --alive, not both"),
        (("--wait", "1s"), "--wait needs --check or --alive"),
        (("--check", "--json"), "--check and --alive answer by their exit code"),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    (line,) = fail("status", *words, cwd=tmp_path, status=ExitCode.USAGE)
    assert line == f"{told} (see 'resqued status --help')"
