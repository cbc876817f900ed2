"""The init script, run as the system would run it, in a place of its own."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.detached import Detached
from tests.support.nobody import USER, ground
from tests.support.pool import failures, runs
from tests.support.processes import is_alive
from tests.support.wait import scaled, wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "contrib" / "init.d" / "resqued"
DEFAULTS = SCRIPT.with_suffix(".default")

pytestmark = pytest.mark.skipif(
    shutil.which("flock") is None, reason="flock(1) is not installed"
)


class Initd:
    """The script with defaults of its own, and the daemons that it starts."""

    def __init__(self, daemons: Detached) -> None:
        self.daemons = daemons
        self.place = daemons.place
        self.etc = self.place / "etc"
        self.run_directory = self.place / "run"
        self.logs = self.place / "log"
        self.etc.mkdir()
        # As an installation has it: one file to be executed.
        program = self.place / "resqued"
        words = " ".join(map(shlex.quote, daemons.command))
        program.write_text(f'#!/bin/sh\ncd {self.place} && exec {words} "$@"\n')
        program.chmod(0o755)
        self.defaults(INSTANCES="main")
        self.configure("main")

    def defaults(self, **given: str) -> None:
        values = {
            "RESQUED": f"{self.place}/resqued",
            "RUN_AS": "",
            "CONFIG_DIR": str(self.etc),
            "RUN_DIR": str(self.run_directory),
            "LOG_DIR": str(self.logs),
            **given,
        }
        lines = [f'{name}="{value}"' for name, value in values.items()]
        (self.place / "defaults").write_text("\n".join(lines) + "\n")

    def configure(self, name: str, queues: str = "default", extra: str = "") -> None:
        (self.etc / f"{name}.toml").write_text(
            f'[redis]\nurl = "{self.daemons.url}"\n'
            '[app]\nimport = ["tests.support.jobs"]\n'
            f'{extra}\n[[pool]]\nqueues = "{queues}"\n'
        )

    def __call__(self, *args: str, status: int = 0) -> str:
        """Run an action that must end with a status; return what it has printed."""
        result = subprocess.run(
            ["sh", str(SCRIPT), *args],
            cwd="/",
            env={**self.daemons.env, "RESQUED_DEFAULTS": f"{self.place}/defaults"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=scaled(120),
            check=False,
        )
        assert result.returncode == status, result.stdout
        return result.stdout

    def pid(self, name: str = "main") -> int:
        return int((self.run_directory / f"{name}.pid").read_text())


@pytest.fixture
def initd(redis_url: str, tmp_path: Path) -> Iterator[Initd]:
    with Detached(tmp_path, redis_url) as daemons:
        yield Initd(daemons)


def test_a_life_from_start_to_stop(
    initd: Initd, redis_url: str, redis: redis_py.Redis
) -> None:
    assert "main: does not run" in initd("status", status=3)
    assert "runs, with 1 worker" in initd("start")
    assert f"main: master {initd.pid()} runs" in initd("status")
    before = initd.pid()
    assert "runs already" in initd("start")
    assert "moved to generation 2" in initd("reload")
    assert "moved to generation 3" in initd("force-reload")
    assert initd.pid() == before
    initd("restart")
    assert initd.pid() != before
    before = initd.pid()
    initd("try-restart")
    assert initd.pid() != before
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    wait_until(lambda: runs(redis)["1"], what="the job to run")
    assert "has stopped" in initd("stop")
    assert "no master runs" in initd("stop")
    initd("status", status=3)
    wait_until(lambda: not initd.daemons.processes(), what="the end of them all")


def test_what_does_not_run_is_not_restarted_nor_reloaded(initd: Initd) -> None:
    initd("try-restart")
    initd("status", status=3)
    assert "main: does not run" in initd("reload", status=7)


def test_a_master_that_was_killed_is_told_of_and_started_again(initd: Initd) -> None:
    initd("start")
    master = psutil.Process(initd.pid())
    master.kill()
    wait_until(lambda: not is_alive(master), what="its end")
    assert "was not stopped" in initd("status", status=1)
    initd("start")
    initd("status")
    assert initd.pid() != master.pid


def test_instances_are_started_together_and_stopped_one_by_one(initd: Initd) -> None:
    initd.defaults(INSTANCES="main mail")
    initd.configure("mail", "mail")
    initd("start")
    assert initd.pid("main") != initd.pid("mail")
    assert (initd.logs / "mail.log").stat().st_size
    initd("stop", "mail")
    assert "mail: does not run" in initd("status", status=3)
    initd("status", "main")
    initd("reload", "main")


def test_what_cannot_start_has_the_codes_of_the_lsb(initd: Initd) -> None:
    initd.defaults(INSTANCES="main other")
    assert "other.toml is not there" in initd("start", "other", status=6)
    initd.configure("other", extra="[limits]\nruntime = 'long'")
    assert "runtime" in initd("start", "other", status=6)
    initd.defaults(RESQUED="/nonexistent/resqued", INSTANCES="main")
    assert "/nonexistent/resqued is not there" in initd("start", status=5)
    assert "Usage: " in initd("dance", status=2)
    assert "Usage: " in initd(status=2)


def test_a_wrong_configuration_keeps_a_restart_from_stopping_anybody(
    initd: Initd,
) -> None:
    initd("start")
    pid = initd.pid()
    initd.configure("main", extra="[limits]\nruntime = 'long'")
    initd("restart", status=6)
    assert initd.pid() == pid
    initd("status")
    assert "runtime" in initd("reload", status=1)


def test_stop_ends_the_jobs_that_do_not_finish_in_time(
    initd: Initd, redis_url: str, redis: redis_py.Redis
) -> None:
    initd.defaults(INSTANCES="main", STOP_TIMEOUT="1s")
    initd("start")
    resqued.Client(redis_url).enqueue_to("default", "Sleep", 600, 7)
    wait_until(lambda: redis.llen("started"), what="the job to begin")
    initd("stop")
    assert len(failures(redis)) == 1
    # The zygote is killed last of all, and may take a moment to die.
    wait_until(lambda: not initd.daemons.processes(), what="the end of them all")


def test_masters_run_as_the_user_that_is_named(redis_url: str) -> None:
    with (
        ground() as place,
        Detached(
            place.place, redis_url, env=place.env, command=place.command
        ) as daemons,
    ):
        initd = Initd(daemons)
        initd.defaults(INSTANCES="main", RUN_AS=USER)
        for path in place.place.rglob("*.toml"):
            path.chmod(0o644)
        initd("start")
        uid = pwd.getpwnam(USER).pw_uid
        assert psutil.Process(initd.pid()).uids().real == uid
        assert (initd.logs / "main.log").stat().st_uid == uid
        (initd.logs / "main.log").rename(initd.logs / "main.log.1")
        initd("reload")
        assert (initd.logs / "main.log").stat().st_uid == uid
        initd("stop")
        initd("status", status=3)


@pytest.mark.parametrize("kind", ["foreign", "open"])
def test_a_pid_file_where_another_user_can_write_counts_for_nothing(
    initd: Initd, kind: str
) -> None:
    if kind == "foreign" and os.geteuid() != 0:
        pytest.skip("takes another user: be root")
    place = initd.run_directory
    place.mkdir()
    file = place / "main.pid"
    file.write_text(f"{os.getpid()}\n")
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        place.chmod(0o755)
        assert initd("status") == f"main: master {os.getpid()} runs\n"
        if kind == "foreign":
            os.chown(place, 65534, 65534)
        else:
            place.chmod(0o777)
        assert initd("status", status=3) == "main: does not run\n"
        assert "is not a directory that only" in initd("start", status=1)


def test_what_a_pid_file_contains_does_not_reach_the_terminal(initd: Initd) -> None:
    initd.run_directory.mkdir(mode=0o755)
    file = initd.run_directory / "main.pid"
    file.write_text("12\033]0;x\007\n")
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert initd("status") == "main: master  runs\n"


def test_a_pipe_in_place_of_a_pid_file_keeps_nobody_waiting(initd: Initd) -> None:
    initd.run_directory.mkdir(mode=0o755)
    os.mkfifo(initd.run_directory / "main.pid")
    assert initd("status", status=3) == "main: does not run\n"


def test_shellcheck_has_no_remarks() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    found = subprocess.run(
        ["shellcheck", "--external-sources", "--shell=sh", str(SCRIPT), str(DEFAULTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_the_file_of_defaults_has_the_defaults() -> None:
    def assigned(path: Path) -> set[str]:
        return set(re.findall(r'^[A-Z_]+=".*"$', path.read_text(), re.M))

    assert assigned(SCRIPT) == assigned(DEFAULTS)


def test_the_script_says_to_lsb_what_it_provides() -> None:
    head, _, _ = SCRIPT.read_text().partition("### END INIT INFO")
    for field in ("Provides", "Required-Start", "Default-Start", "Short-Description"):
        assert f"# {field}:" in head
    assert os.access(SCRIPT, os.X_OK)
