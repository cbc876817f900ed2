"""The master replaced in place: same pid, same workers, no job disturbed."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import psutil
import redis as redis_py

import resqued
from resqued.system import process
from tests.support.asking import ask, running, socket_of
from tests.support.pool import failures, left_over, runs
from tests.support.processes import open_files
from tests.support.wait import wait_until


def began(pid: int) -> int | None:
    """Return when a process began: in ticks, which no setting of the clock changes."""
    return process.start_time(pid)


def test_a_running_job_goes_on_under_the_new_program(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with running(redis_url, tmp_path, workers=2) as daemon:
        client.enqueue_to("default", "Until", str(tmp_path / "enough"), 1)
        wait_until(lambda: redis.llen("started") == 1, what="the long job to start")
        (child,) = [pid for pid in daemon.children() if "[Until]" in process.title(pid)]
        before = (daemon.pid, began(daemon.pid))
        answer = ask(daemon, do="reload", master=True)
        assert answer == {"ok": True, "generation": 2, "error": ""}
        assert (daemon.pid, began(daemon.pid)) == before
        assert [e["workers"] for e in daemon.events("master_resumed")] == [2]
        assert psutil.pid_exists(child), "the job continues"
        # The new program hears of deaths, and wakes the idle.
        client.enqueue_to("default", "Run", 2)
        wait_until(lambda: runs(redis)["2"], what="the next job to run")
        (tmp_path / "enough").touch()
        wait_until(lambda: runs(redis)["1"], what="the long job to end", deadline=60)
        wait_until(lambda: len(daemon.workers()) == 2, what="two workers")
    assert failures(redis) == []
    assert left_over(redis) == set()


def test_replacements_under_load_lose_nothing_and_leak_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with running(redis_url, tmp_path, workers=3) as daemon:
        ask(daemon, do="reload", master=True)
        before = len(open_files(daemon.pid))
        client.enqueue_many((("Run", n) for n in range(600)), queue="default")
        for _ in range(5):
            assert ask(daemon, do="reload", master=True)["ok"]
        wait_until(lambda: len(runs(redis)) == 600, what="all jobs", deadline=120)
        wait_until(
            lambda: len(open_files(daemon.pid)) <= before, what="no descriptor more"
        )
        assert ask(daemon, do="status")["generation"] == 7
        wait_until(
            lambda: len(ask(daemon, do="status")["workers"]) == 3,
            what="the last worker of the generation before to leave",
        )
        wait_until(lambda: len(daemon.zygotes()) == 1, what="one zygote")
    assert set(runs(redis).values()) == {1}
    assert left_over(redis) == set()


def test_the_old_program_leaves_its_place_in_the_line_of_masters(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    line = "resque:resqued:line:default"

    def numbers() -> list[bytes]:
        return redis.lrange(line, 0, -1)

    other = tmp_path / "other"
    other.mkdir()
    with running(redis_url, tmp_path) as one, running(redis_url, other) as two:
        wait_until(numbers, what="one of them to wait in the line", deadline=60)
        before = set(numbers())
        for daemon in (one, two):
            assert ask(daemon, do="reload", master=True)["ok"]
        assert before.isdisjoint(numbers())
        wait_until(numbers, what="one to wait again", deadline=60)
        channels = [f"{line.removesuffix('default')}{n.decode()}" for n in numbers()]
        assert {n for _, n in redis.pubsub_numsub(*channels)} <= {1}
    assert left_over(redis) == set()


def test_what_was_scaled_and_paused_stays_so(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with running(redis_url, tmp_path, workers=1) as daemon:
        ask(daemon, do="pause")
        assert ask(daemon, do="reload", master=True)["ok"]
        assert ask(daemon, do="status")["is_paused"]
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        assert ask(daemon, do="resume")["ok"]
        wait_until(lambda: runs(redis)["1"], what="the job to run")


def test_a_configuration_that_is_wrong_leaves_the_old_program_at_work(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with running(redis_url, tmp_path) as daemon:
        (tmp_path / "resqued.toml").write_text("[limits\n")
        answer = ask(daemon, do="reload", master=True)
        assert not answer["ok"]
        assert "resqued.toml" in answer["error"]
        assert daemon.events("reexec_failed")
        assert not daemon.events("master_replaced")
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="the job to run")


def test_application_code_that_is_wrong_replaces_the_master_alone(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "changing.py").write_text("")
    with running(redis_url, tmp_path, "-a", "changing") as daemon:
        workers = daemon.workers()
        (tmp_path / "changing.py").write_text("1 +")
        answer = ask(daemon, do="reload", master=True)
        assert not answer["ok"]
        assert "SyntaxError" in answer["error"]
        assert daemon.events("master_resumed")
        # The zygote that could not import it may be about to leave.
        wait_until(lambda: daemon.workers() == workers, what="the same workers alone")
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="the job to run")


DECLARING = """
import resqued
from tests.support.jobs import note

@resqued.every("1s", args=[7])
@resqued.job(queue="default", name="Declared")
def declared(number):
    note("runs", number)
"""


def test_what_the_application_declares_stays_in_force(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "changing.py").write_text(DECLARING)
    with running(redis_url, tmp_path, "-a", "changing") as daemon:
        wait_until(lambda: runs(redis)["7"], what="a recurring job to run")
        (tmp_path / "changing.py").write_text("1 +")
        assert not ask(daemon, do="reload", master=True)["ok"]
        assert daemon.events("master_resumed")
        before = runs(redis)["7"]
        wait_until(lambda: runs(redis)["7"] > before + 2, what="it to run again")


def test_signals_that_come_meanwhile_are_not_lost(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with (
        running(redis_url, tmp_path, workers=2) as daemon,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock,
    ):
        sock.connect(str(socket_of(daemon)))
        sock.sendall(b'{"do": "reload", "master": true}\n')
        daemon.wait_for_event("master_replaced")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert left_over(redis) == set()
