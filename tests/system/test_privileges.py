"""A daemon that is started as root and becomes somebody else, for good."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.detached import Detached
from tests.support.nobody import USER, Ground, ground
from tests.support.processes import open_files
from tests.support.wait import wait_until

# Tells who the job is, and whether it can be root again.
WHO = """
import json, os, redis, resqued

@resqued.job(queue="default", name="Who")
def who():
    try:
        os.setuid(0)
    except PermissionError as error:
        refusal = error.strerror
    else:
        refusal = ""
    told = {
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "refusal": refusal,
        "environ": {n: os.environ.get(n) for n in ("HOME", "USER", "LOGNAME")},
        "cwd": os.getcwd(),
    }
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush("who", json.dumps(told))
"""


@pytest.fixture
def place() -> Iterator[Ground]:
    with ground() as found:
        (found.place / "who.py").write_text(WHO)
        yield found


@pytest.fixture
def daemons(place: Ground, redis_url: str) -> Iterator[Detached]:
    with Detached(
        place.place, redis_url, env=place.env, command=place.command
    ) as found:
        yield found


def start(daemons: Detached, *args: str) -> subprocess.CompletedProcess[str]:
    return daemons.start("-a", "who", *args)


def who_runs_jobs(url: str, redis: redis_py.Redis) -> dict[str, Any]:
    resqued.Client(url).enqueue_to("default", "Who")
    _, told = redis.blpop(["who"], timeout=60)
    found: dict[str, Any] = json.loads(told)
    return found


def groups_of(name: str) -> list[int]:
    told = subprocess.check_output(["id", "-G", name], text=True)
    return sorted(map(int, told.split()))


def test_jobs_have_the_ids_and_groups_of_the_user_and_cannot_go_back(
    daemons: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    result = start(daemons, "--user", USER)
    assert result.returncode == 0, result.stderr + daemons.log()
    told = who_runs_jobs(redis_url, redis)
    user = pwd.getpwnam(USER)
    assert told["uids"] == [user.pw_uid] * 3
    assert told["gids"] == [user.pw_gid] * 3
    assert told["groups"] == groups_of(USER)
    assert told["refusal"] == "Operation not permitted"
    assert told["environ"] == {"HOME": user.pw_dir, "USER": USER, "LOGNAME": USER}
    for process in daemons.processes():
        # The child of the job may be about to leave.
        with suppress(psutil.NoSuchProcess):
            assert process.uids().real == user.pw_uid, process


def test_work_becomes_the_user_of_the_configuration_as_well(
    daemons: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    config = daemons.place / "user.toml"
    config.write_text(f'[daemon]\nuser = "{USER}"\n')
    config.chmod(0o644)
    log = daemons.place / "work.log"
    with subprocess.Popen(
        [
            *(*daemons.command, "work", "default", "-r", redis_url, "-a", "who"),
            *("-c", str(config), "--log-file", str(log), "--log-format", "json"),
        ],
        cwd=daemons.place,
        env=daemons.env,
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        try:
            told = who_runs_jobs(redis_url, redis)
        finally:
            master.send_signal(signal.SIGINT)
            _, said = master.communicate(timeout=60)
    user = pwd.getpwnam(USER)
    assert (master.returncode, said) == (0, "")
    assert told["uids"] == [user.pw_uid] * 3
    assert told["groups"] == groups_of(USER)
    assert log.stat().st_uid == user.pw_uid
    assert daemons.events("running_as_root", log) == []


def test_a_master_that_runs_jobs_as_root_says_so(
    daemons: Detached, redis_url: str
) -> None:
    assert start(daemons).returncode == 0
    (event,) = daemons.events("running_as_root")
    assert "[daemon] user" in event["remedy"]
    # The next program of the same master has nothing new to say.
    assert daemons.run("reload", "--master").returncode == 0
    assert len(daemons.events("running_as_root")) == 1


def test_supplementary_groups_are_those_of_the_user_and_none_of_roots(
    place: Ground, redis_url: str, redis: redis_py.Redis
) -> None:
    # A file of groups in which nobody has two more, for this daemon alone.
    groups = place.place / "group"
    lines = Path("/etc/group").read_text().splitlines()
    ours = [f"rq-one:x:54321:{USER}", f"rq-two:x:54322:root,{USER}", "rq-no:x:54323:"]
    groups.write_text("\n".join([*lines, *ours]) + "\n")
    *mounting, script, sh, python, dash_m, name = place.command
    bound = (*mounting, f"mount --bind '{groups}' /etc/group && {script}", sh, python)
    with Detached(
        place.place, redis_url, env=place.env, command=(*bound, dash_m, name)
    ) as other:
        result = start(other, "--user", USER, "--group", "rq-one")
        assert result.returncode == 0, result.stderr + other.log()
        told = who_runs_jobs(redis_url, redis)
    assert told["gids"] == [54321] * 3
    assert told["groups"] == [54321, 54322]


def test_pid_file_and_socket_are_where_root_finds_them(
    daemons: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    assert start(daemons, "--user", USER).returncode == 0
    pid = daemons.pid
    status = daemons.pid_file.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    socket = daemons.run_directory / USER / f"{pid}.sock"
    assert socket.stat().st_uid == pwd.getpwnam(USER).pw_uid
    # Both by the place and by the pid file.
    assert daemons.run("reload", "--wait").returncode == 0
    pid_file = ("--pidfile", str(daemons.pid_file))
    assert daemons.run("reload", "--master", *pid_file).returncode == 0
    assert f"master {pid} " in daemons.start(*pid_file).stderr
    assert daemons.run("stop").returncode == 0
    # The master cannot remove it from a directory of root; who stops the master can.
    assert not daemons.pid_file.exists()
    assert start(daemons, "--user", USER).returncode == 0


def test_the_log_can_be_reopened_by_who_we_have_become(
    daemons: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    logs = daemons.place / "log"
    logs.mkdir()
    user = pwd.getpwnam(USER)
    os.chown(logs, user.pw_uid, user.pw_gid)
    daemons.log_file = logs / "resqued.log"
    assert start(daemons, "--user", USER).returncode == 0
    assert daemons.log_file.stat().st_uid == user.pw_uid
    old = logs / "resqued.log.1"
    daemons.log_file.rename(old)
    assert daemons.run("reload", "--wait").returncode == 0
    assert daemons.events("log_reopened")
    assert daemons.log_file.stat().st_uid == user.pw_uid
    for process in daemons.processes():
        wait_until(
            lambda pid=process.pid: str(old) not in open_files(pid), what="the old"
        )


def test_a_log_that_belongs_to_somebody_else_is_refused_and_not_given_away(
    daemons: Detached,
) -> None:
    precious = daemons.place / "precious"
    precious.write_text("precious\n")
    precious.chmod(0o600)
    daemons.log_file.symlink_to(precious)
    result = start(daemons, "--user", USER)
    assert result.returncode == 78
    assert "cannot be written: Permission denied" in result.stderr
    assert precious.stat().st_uid == 0
    assert precious.read_text() == "precious\n"
    wait_until(lambda: not daemons.processes(), what="the end of what was started")


def test_root_that_becomes_root_is_still_root(
    daemons: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    assert start(daemons, "--user", "root").returncode == 0
    told = who_runs_jobs(redis_url, redis)
    assert told["uids"] == [0] * 3
    assert told["groups"] == groups_of("root")


# Started by somebody who is not root


@pytest.fixture
def of_nobody(place: Ground, redis_url: str) -> Iterator[Detached]:
    user = pwd.getpwnam(USER)
    home = place.place / "home"
    home.mkdir()
    (home / "who.py").write_text(WHO)
    os.chown(home, user.pw_uid, user.pw_gid)
    command = place.as_nobody("-m", "resqued")
    with Detached(home, redis_url, env=place.env, command=command) as found:
        yield found


def test_who_is_not_root_starts_and_stops_his_own(
    of_nobody: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    result = start(of_nobody)
    assert result.returncode == 0, result.stderr
    told = who_runs_jobs(redis_url, redis)
    assert told["uids"] == [pwd.getpwnam(USER).pw_uid] * 3
    assert of_nobody.run("reload", "--master").returncode == 0
    assert start(of_nobody).returncode == 75
    assert of_nobody.run("stop").returncode == 0
    assert not of_nobody.pid_file.exists()


def test_who_is_not_root_can_be_himself_and_nobody_else(of_nobody: Detached) -> None:
    result = start(of_nobody, "--user", "root")
    assert result.returncode == 78
    assert "only root can become user root" in result.stderr
    assert start(of_nobody, "--user", USER).returncode == 0


def test_a_master_of_somebody_else_cannot_be_stopped(
    daemons: Detached, of_nobody: Detached
) -> None:
    daemons.run_directory.mkdir(mode=0o755)
    assert start(daemons).returncode == 0
    result = of_nobody.run("stop", "--pidfile", str(daemons.pid_file))
    assert result.returncode == 78
    assert "cannot be read: Permission denied" in result.stderr
    assert psutil.pid_exists(daemons.pid)
