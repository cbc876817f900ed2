"""`resqued start`, `stop` and `restart`: real daemons, and what is left of them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.detached import Detached
from tests.support.pool import failures, left_over, runs
from tests.support.processes import open_files, title
from tests.support.wait import scaled, wait_until


@pytest.fixture
def place(redis_url: str, tmp_path: Path) -> Iterator[Detached]:
    with Detached(tmp_path, redis_url) as place:
        yield place


def run_a_job(url: str, redis: redis_py.Redis, number: int) -> None:
    resqued.Client(url).enqueue_to("default", "Run", number)
    wait_until(lambda: runs(redis)[str(number)], what=f"job {number}", deadline=60)


def begin_long_job(url: str, redis: redis_py.Redis, seconds: float) -> None:
    resqued.Client(url).enqueue_to("default", "Sleep", seconds, 7)
    wait_until(lambda: redis.llen("started"), what="the job to begin", deadline=60)


def refused(place: Detached, *args: str, status: int) -> str:
    """Start what cannot be started; return the one line that says why."""
    before = place.sessions()
    result = place.start(*args)
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("resqued: ")
    # A zygote that was killed may take a moment; those there before come and go.
    wait_until(lambda: place.sessions() <= before, what="no process to be left")
    return line.removeprefix("resqued: ")


def is_empty(place: Detached) -> None:
    """See that the master was the last; a killed zygote may take a moment."""
    wait_until(lambda: not place.processes(), what="the end of all")


# Starting


def test_start_returns_when_every_worker_is_registered(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    result = place.start("-n", "3")
    assert redis.scard("resque:workers") == 3
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"master {place.pid} runs, with 3 workers\n"
    assert result.stderr == ""
    assert len(place.events("master_ready")) == 1
    # The master says that it is ready first, and shows it then.
    wait_until(
        lambda: "resqued master [gen 1] 3/3" in title(place.pid), what="its title"
    )
    run_a_job(redis_url, redis, 1)
    stopped = place.run("stop")
    assert (
        stopped.stdout
        == f"master {(place.events('master_started')[0])['pid']} has stopped\n"
    )
    assert left_over(redis) == set()
    assert not place.pid_file.exists()


def test_the_daemon_has_left_terminal_session_and_standard_streams(
    place: Detached,
) -> None:
    pid = place.started()
    assert os.getsid(pid) not in {pid, os.getsid(0)}
    assert psutil.Process(pid).terminal() is None
    files = {
        number: str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)
    }
    assert files == {0: "/dev/null", 1: str(place.log_file), 2: str(place.log_file)}
    # Nothing of the launcher, and the lock for the master alone.
    assert str(place.pid_file) in open_files(pid)
    wait_until(
        lambda: not [name for name in open_files(pid) if name.startswith("pipe:")],
        what="the pipe to the launcher to be closed",
    )
    for process in place.processes():
        if process.pid != pid:
            assert str(place.pid_file) not in open_files(process.pid), process


def test_the_daemon_stays_where_it_was_started(place: Detached) -> None:
    (place.place / "app").mkdir()
    pid = place.started("--directory", "app")
    assert psutil.Process(pid).cwd() == str(place.place)
    (worker,) = wait_until(
        lambda: [
            p for p in psutil.Process(pid).children() if "Waiting" in title(p.pid)
        ],
        what="an idle worker",
    )
    assert worker.cwd() == str(place.place / "app")


def test_without_a_log_file_it_is_said_that_the_log_goes_nowhere(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    result = place.run("start", "default", "-r", redis_url, "-a", "tests.support.jobs")
    assert result.returncode == 0, result.stderr
    assert "its log goes nowhere" in result.stdout
    run_a_job(redis_url, redis, 1)
    assert place.run("stop").returncode == 0


def test_a_burst_is_ready_once_and_then_over(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    assert place.start("--burst").returncode == 0
    wait_until(lambda: not place.processes(), what="the end of all")
    assert runs(redis)["1"] == 1
    assert not place.pid_file.exists()


def test_the_umask_is_that_of_the_configuration(place: Detached) -> None:
    pid = place.started("--umask", "027")
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Umask:\t0027\n" in status


def test_what_was_closed_or_ignored_at_the_start_is_no_trap(place: Detached) -> None:
    script = 'trap "" CHLD; exec <&- >&- 2>&-; exec "$@"'
    closing = Detached(
        place.place, place.url, command=("sh", "-c", script, "sh", *place.command)
    )
    with closing:
        assert closing.start().returncode == 0
        assert len(closing.events("master_ready")) == 1
        (closing.pid_file).read_text()


# Refusing


def test_a_second_start_is_refused_before_there_is_a_daemon(place: Detached) -> None:
    pid = place.started()
    line = refused(place, status=75)
    assert f"master {pid} " in line
    assert str(place.pid_file) in line
    assert place.pid == pid
    assert len(place.events("master_started")) == 1
    # In the foreground it is no different.
    again = place.run("work", "default", "--pidfile", str(place.pid_file))
    assert again.returncode == 75
    assert f"master {pid} " in again.stderr


def test_redis_that_is_away_is_told_with_its_own_code(place: Detached) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        assert "Connection refused" in refused(place, "-r", url, status=69)
    assert not place.pid_file.exists()


def test_redis_that_hangs_is_told_of_soon(place: Detached) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert "redis at " in refused(place, "-r", url, status=69)


def test_an_application_that_cannot_be_imported_is_told_with_its_line(
    place: Detached,
) -> None:
    (place.place / "broken.py").write_text("\nx = (\n")
    line = refused(place, "-a", "broken", status=78)
    assert f"{place.place}/broken.py:2" in line
    assert line in place.log()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--log-file", "nowhere/x.log"), "nowhere/x.log cannot be written"),
        (("--pidfile", "nowhere/x.pid"), "nowhere/x.pid cannot be written"),
        (("--user", "nosuchuser"), "there is no user nosuchuser"),
        (("--group", "daemon"), "group daemon is given without a user"),
        (("--user", "root", "--group", "nosuchgroup"), "there is no group nosuchgroup"),
        (("--umask", "9"), "--umask: '9' must be three octal digits"),
        (("-c", "nosuch.toml"), "nosuch.toml does not exist"),
        (("-r", "http://localhost"), "--redis: "),
    ],
)
def test_what_is_wrong_is_told_before_there_is_a_daemon(
    args: tuple[str, ...], told: str, place: Detached
) -> None:
    assert told in refused(place, *args, status=78)
    assert place.events("master_started") == []


def test_who_is_not_ready_in_time_is_stopped(place: Detached) -> None:
    (place.place / "slow.py").write_text("import time\ntime.sleep(600)\n")
    line = refused(place, "-a", "slow", "--timeout", "2s", status=70)
    assert "within 2 s" in line
    assert not place.pid_file.exists()


@contextmanager
def starting(place: Detached) -> Iterator[subprocess.Popen[str]]:
    """Start a daemon that never gets ready; answer its launcher, once it is there."""
    (place.place / "slow.py").write_text("import time\ntime.sleep(600)\n")
    with subprocess.Popen(
        [*place.command, "start", "default", "-r", place.url, "-a", "slow"],
        cwd=place.place,
        env=place.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        wait_until(
            lambda: place.pid_file.exists() and place.pid_file.read_text(),
            what="the daemon",
        )
        yield launcher


def test_a_launcher_that_is_interrupted_leaves_nothing(place: Detached) -> None:
    with starting(place) as launcher:
        launcher.send_signal(signal.SIGINT)
        _, errors = launcher.communicate(timeout=scaled(60))
    assert launcher.returncode == 130
    assert errors.strip().splitlines() == ["resqued: interrupted"]
    wait_until(lambda: not place.processes(), what="the end of all")


# Pid files that say nothing


@pytest.mark.parametrize("kind", ["dead", "foreign", "garbage", "empty"])
def test_a_stale_pid_file_keeps_nobody_from_starting_or_stopping(
    kind: str, place: Detached
) -> None:
    place.run_directory.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "600"]) as foreign:
        place.pid_file.write_text(
            {
                "dead": "2147483646\n",
                "foreign": f"{foreign.pid}\n",
                "garbage": "no pid at all",
                "empty": "",
            }[kind]
        )
        stopped = place.run("stop")
        assert stopped.returncode == 0
        assert "no master runs" in stopped.stdout
        place.started()
        assert place.run("stop").returncode == 0
        assert foreign.poll() is None, "it was never signalled"
        foreign.kill()


def test_after_kill_9_a_new_one_starts_although_children_linger(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    args = ("--grace", "60s")
    (place.place / "resqued.toml").write_text('[worker]\norphan_grace = "120s"\n')
    pid = place.started("-c", "resqued.toml", *args)
    begin_long_job(redis_url, redis, 600)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid) or is_zombie(pid), what="its end")
    lingering = place.processes()
    assert lingering, "the job continues"
    new = place.started("-c", "resqued.toml", *args)
    assert new != pid
    assert any(process.is_running() for process in lingering)
    run_a_job(redis_url, redis, 1)
    for process in lingering:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# Stopping


def test_stop_lets_the_running_job_finish(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    place.started()
    begin_long_job(redis_url, redis, 3)
    assert place.run("stop").returncode == 0
    assert runs(redis)["7"] == 1
    assert failures(redis) == []
    is_empty(place)


def test_stop_now_ends_the_running_job_and_records_it(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    # Even where SIGTERM has been given another meaning.
    (place.place / "resqued.toml").write_text("[worker]\ngraceful_term = true\n")
    place.started("-c", "resqued.toml")
    begin_long_job(redis_url, redis, 600)
    assert place.run("stop", "--now").returncode == 0
    (failure,) = failures(redis)
    assert failure["payload"]["class"] == "Sleep"
    is_empty(place)


def test_stop_says_so_when_it_takes_too_long(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    pid = place.started()
    begin_long_job(redis_url, redis, 600)
    result = place.run("stop", "--timeout", "1s")
    assert result.returncode == 1
    assert f"master {pid} still runs after 1s" in result.stderr
    assert "--now" in result.stderr
    assert place.run("stop", "--now").returncode == 0


def test_stopping_what_does_not_run_is_no_error(place: Detached) -> None:
    for _ in range(2):
        result = place.run("stop")
        assert result.returncode == 0
        assert (
            result.stdout == f"no master runs: nobody holds pid file {place.pid_file}\n"
        )


def test_a_master_without_its_pid_file_is_named_and_stopped_by_pid(
    place: Detached,
) -> None:
    pid = place.started()
    place.started("--pidfile", str(place.place / "other.pid"), queues="other")
    other = int((place.place / "other.pid").read_text())
    place.pid_file.unlink()
    result = place.run("stop")
    assert result.returncode == 69
    assert f"nobody holds pid file {place.pid_file}, but masters run" in result.stderr
    assert f"{pid} (default: 1)" in result.stderr
    # Who names the file means that one alone.
    assert place.run("stop", "--pidfile", str(place.pid_file)).returncode == 0
    assert place.run("stop", "--pid", "4194304").returncode == 69
    assert place.run("stop", "--instance", "default").returncode == 69
    both = place.run("stop", "--pid", str(pid), "--pidfile", str(place.pid_file))
    assert both.returncode == 2
    assert psutil.pid_exists(pid)
    result = place.run("stop", "--pid", str(pid))
    assert (result.returncode, result.stdout) == (0, f"master {pid} has stopped\n")
    assert psutil.pid_exists(other)


def test_a_file_that_is_locked_by_nobody_we_know_is_not_acted_on(
    place: Detached,
) -> None:
    place.run_directory.mkdir(mode=0o700)
    place.pid_file.write_text("")
    with place.pid_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert place.run("stop").returncode == 1
        assert place.start().returncode == 75


# Restarting, reloading


def test_restart_is_a_stop_and_a_start(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    first = place.started(command="restart")
    begin_long_job(redis_url, redis, 2)
    second = place.started("-n", "2", command="restart")
    assert first != second
    assert runs(redis)["7"] == 1, "the job was waited for"
    assert redis.scard("resque:workers") == 2


def test_a_restart_with_a_wrong_configuration_leaves_the_daemon_alone(
    place: Detached,
) -> None:
    pid = place.started()
    result = place.start("--user", "nosuchuser", command="restart")
    assert result.returncode == 78
    assert psutil.pid_exists(pid)
    assert place.pid == pid


def test_reload_finds_the_daemon_by_its_pid_file_where_several_run(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    other = place.place / "other.pid"
    pid = place.started()
    place.started("--pidfile", str(other), queues="other")
    assert place.run("reload", "--wait").returncode == 2, "which one?"
    result = place.run("reload", "--wait", "--pidfile", str(place.pid_file))
    assert result.stdout == f"master {pid} has moved to generation 2\n"
    shown = place.run("status", "-r", redis_url, "--pidfile", str(other)).stdout
    assert f"master {other.read_text().strip()} running, generation 1" in shown
    assert f"master {pid} " not in shown
    assert place.run("stop", "--pidfile", str(other)).returncode == 0
    gone = place.run("pause", "--pidfile", str(other))
    assert gone.returncode == 69
    assert f"nobody holds pid file {other}" in gone.stderr
    run_a_job(redis_url, redis, 1)


@pytest.mark.parametrize("command", ["start", "restart"])
def test_the_lock_outlives_the_program_that_has_taken_it(
    command: str, place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    pid = place.started(command=command)
    for generation in (2, 3):
        result = place.run("reload", "--master")
        assert result.returncode == 0, result.stderr
        assert f"generation {generation}" in result.stdout
    assert place.pid == pid
    assert f"master {pid} " in refused(place, status=75)
    workers = [p.pid for p in place.processes() if p.pid != pid]
    assert not any(str(place.pid_file) in open_files(worker) for worker in workers)
    run_a_job(redis_url, redis, 1)
    assert place.run("stop").returncode == 0
    assert not place.pid_file.exists()


def test_work_holds_a_pid_file_if_it_is_told_to(
    place: Detached, redis_url: str
) -> None:
    file = place.place / "work.pid"
    with subprocess.Popen(
        [sys.executable, "-m", "resqued", "work", "default", "-r", redis_url],
        cwd=place.place,
        env={**place.env, "PIDFILE": str(file)},
        stderr=subprocess.DEVNULL,
    ) as master:
        wait_until(lambda: redis_has_worker(redis_url), what="its worker")
        assert file.read_text() == f"{master.pid}\n"
        assert place.run("stop", "--pidfile", str(file)).returncode == 0
    assert master.returncode == 0
    assert not file.exists()


def redis_has_worker(url: str) -> bool:
    with redis_py.Redis.from_url(url) as client:
        return bool(client.scard("resque:workers"))


def test_a_master_that_is_stopped_while_it_starts_says_so(place: Detached) -> None:
    with starting(place) as launcher:
        assert place.run("stop").returncode == 0
        _, errors = launcher.communicate(timeout=scaled(60))
    assert launcher.returncode == 1
    assert "ended before it was ready" in errors
    is_empty(place)
