"""Log files: opened, reopened after a rotation, and no line lost on the way."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.detached import Detached
from tests.support.pool import pool, runs
from tests.support.processes import open_files, title
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]


# An application that sets up its logging itself, and has much to say.
WORDY = """
import logging.config, resqued
logging.config.dictConfig({
    "version": 1,
    "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
    "handlers": {"here": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": ["here"]},
})

@resqued.job(queue="default", name="Say")
def say(number):
    for word in range(250):
        logging.getLogger("wordy").warning("%s:%s", number, word)
        logging.getLogger("wordy").info("not to be seen")
"""


@pytest.fixture
def place(redis_url: str, tmp_path: Path) -> Iterator[Detached]:
    with Detached(tmp_path, redis_url) as place:
        yield place


def rotate(place: Detached, number: int) -> Path:
    """Move the log away, as logrotate does, and have the master reload."""
    old = place.place / f"resqued.log.{number}"
    place.log_file.rename(old)
    assert place.run("reload", "--wait").returncode == 0
    return old


def users_of(place: Detached, file: Path) -> list[str]:
    return [
        title(process.pid)
        for process in place.processes()
        if str(file) in open_files(process.pid)
    ]


def performed(file: Path) -> int:
    lines = file.read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines), "none is torn"
    return sum(json.loads(line)["event"] == "job_performed" for line in lines)


def test_rotation_under_load_loses_no_line_and_leaves_nobody_behind(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    jobs = 1_500
    client = resqued.Client(redis_url)
    place.started("-n", "3", "-c", str(no_dither(place)))
    client.enqueue_many((("Run", n) for n in range(jobs)), queue="default")
    old = []
    for number in range(1, 4):
        old.append(rotate(place, number))
        for file in old:
            wait_until(lambda f=file: not users_of(place, f), what=f"{file} let go")
    wait_until(lambda: len(runs(redis)) == jobs, what="all jobs", deadline=120)
    assert place.run("stop").returncode == 0
    assert sum(map(performed, [*old, place.log_file])) == jobs
    assert runs(redis) == Counter(str(n) for n in range(jobs))


def no_dither(place: Detached) -> Path:
    file = place.place / "resqued.toml"
    file.write_text("[worker]\njobs_per_child = 5\n")
    return file


def test_reopen_follows_a_rotation_and_reloads_nothing(place: Detached) -> None:
    place.start()
    old = place.place / "resqued.log.1"
    place.log_file.rename(old)
    assert place.run("reopen").returncode == 0
    wait_until(lambda: not users_of(place, old), what="everybody to leave the old file")
    assert "log_reopened" in place.log_file.read_text()
    assert "reload_started" not in old.read_text() + place.log_file.read_text()


def test_only_a_child_whose_job_runs_keeps_the_old_file(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    (place.place / "talking.py").write_text(
        "import os, redis, resqued\n"
        "@resqued.job(queue='default', name='Talk')\n"
        "def talk():\n"
        "    url = os.environ['TEST_REDIS_URL']\n"
        "    client = redis.Redis.from_url(url, socket_timeout=None)\n"
        "    client.rpush('started', 1)\n"
        "    client.blpop('go')\n"
        "    print('the job has spoken')\n"
    )
    place.started("-a", "talking")
    resqued.Client(redis_url).enqueue_to("default", "Talk")
    wait_until(lambda: redis.llen("started"), what="the job to begin")
    old = place.place / "resqued.log.1"
    place.log_file.rename(old)
    # Its worker stays until the job is over, and has reopened the log by then.
    assert place.run("reload").returncode == 0
    wait_until(
        lambda: [u.split("[")[-1] for u in users_of(place, old)] == ["Talk]"],
        what="the others to let go of the old file",
    )
    redis.rpush("go", 1)
    wait_until(lambda: not users_of(place, old), what="the job to end")
    assert "the job has spoken" in old.read_text()
    assert "the job has spoken" not in place.log()
    (done,) = place.wait_for_event("job_performed")
    assert done["job_class"] == "Talk"


def test_a_file_that_cannot_be_reopened_is_told_of_and_the_old_one_kept(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    pid = place.started()
    old = place.place / "resqued.log.1"
    place.log_file.rename(old)
    place.log_file.mkdir()
    assert place.run("reload", "--wait").returncode == 0
    (event,) = place.events("log_not_reopened", old)
    assert event["file"] == str(place.log_file)
    assert event["error"] == "Is a directory"
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    wait_until(lambda: place.events("job_performed", old), what="the job in the log")
    place.log_file.rmdir()
    assert place.run("reload", "--wait").returncode == 0
    assert str(place.log_file) in open_files(pid)


def test_jobs_write_where_the_log_is(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    place.started()
    resqued.Client(redis_url).enqueue_to("default", "Buffered")
    wait_until(lambda: "printed and not flushed" in place.log(), what="its words")


def test_what_the_application_logs_comes_once_and_as_it_wants_it(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    (place.place / "wordy.py").write_text(WORDY)
    place.started("-a", "wordy", "-n", "4")
    client = resqued.Client(redis_url)
    client.enqueue_many((("Say", n) for n in range(40)), queue="default")
    wait_until(
        lambda: len(place.events("job_performed")) == 40, what="all jobs", deadline=120
    )
    said = place.events("output")
    assert {(e["job_class"], e["stream"]) for e in said} == {("Say", "stderr")}
    assert Counter(event["message"] for event in said) == Counter(
        f"WARNING {number}:{word}" for number in range(40) for word in range(250)
    )


def test_the_file_is_not_for_everybody_to_read(place: Detached) -> None:
    place.started()
    assert place.log_file.stat().st_mode & 0o777 == 0o640


def test_work_writes_to_a_log_file_and_reopens_it_at_hup(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    file, old = tmp_path / "work.log", tmp_path / "work.log.1"
    with pool(redis_url, tmp_path, "--log-file", str(file)) as daemon:
        wait_until(
            lambda: file.exists() and "master_ready" in file.read_text(),
            what="the log",
        )
        assert daemon.log() == ""
        file.rename(old)
        daemon.signal(signal.SIGHUP)
        wait_until(
            lambda: file.exists() and "reload_done" in file.read_text(),
            what="the new log",
            deadline=60,
        )
        assert "signal_received" in old.read_text(), "that came before"
        assert "log_reopened" in file.read_text()
        # Those of before may take a moment to leave.
        wait_until(
            lambda: not any(str(old) in open_files(p.pid) for p in daemon.processes()),
            what="everybody to let go of the old file",
        )


def test_why_work_does_not_run_is_told_where_it_was_started(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("x = (\n")
    file = tmp_path / "work.log"
    with pool(redis_url, tmp_path, "--log-file", str(file), "-a", "broken") as daemon:
        assert daemon.wait() == 78
        assert daemon.log().startswith("resqued: cannot import broken: SyntaxError")


def test_logrotate_rotates_as_the_example_says(
    place: Detached, redis_url: str, redis: redis_py.Redis
) -> None:
    program = shutil.which("logrotate") or "/usr/sbin/logrotate"
    if not Path(program).exists():
        pytest.skip("logrotate is not installed")
    pid = place.started()
    example = (ROOT / "contrib" / "logrotate" / "resqued").read_text()
    rules = example.replace("/var/log/resqued/*.log", str(place.log_file))
    rules = rules.replace("dir=/run/resqued", f"dir={place.run_directory}")
    rules = rules.replace("resqued=/usr/bin/resqued", f"resqued={program_in(place)}")
    # As whoever runs the tests, and not as the user of the example.
    rules = "\n".join(
        line
        for line in rules.splitlines()
        if not line.strip().startswith(("su ", "create "))
    )
    file = place.place / "logrotate.conf"
    file.write_text(rules + "\n")
    file.chmod(0o644)
    subprocess.run(
        [program, "--force", "--state", str(place.place / "state"), str(file)],
        check=True,
        capture_output=True,
        env=place.env,
    )
    wait_until(lambda: place.events("log_reopened"), what="the new log", deadline=60)
    old = place.place / "resqued.log.1"
    assert performed_or_more(old)
    wait_until(lambda: not users_of(place, old), what="everybody to leave the old file")
    assert "reload_started" not in old.read_text() + place.log()
    assert psutil.Process(pid).is_running()
    assert str(place.log_file) in open_files(pid)


def program_in(place: Detached) -> Path:
    """Return a program as logrotate's script runs it: with arguments, from /."""
    program = place.place / "program"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(place.command)} "$@"\n')
    program.chmod(0o755)
    return program


def test_logrotate_has_a_master_reload_that_cannot_be_asked(place: Detached) -> None:
    pid = place.started()
    script = after_rotation(place.run_directory).replace("/usr/bin/resqued", "/nowhere")
    old = place.place / "resqued.log.1"
    place.log_file.rename(old)
    subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=True)
    wait_until(lambda: place.events("reload_done"), what="the reload", deadline=60)
    assert place.pid == pid


def after_rotation(place: Path) -> str:
    """Return what the example runs after a rotation, for masters with pid files."""
    text = (ROOT / "contrib" / "logrotate" / "resqued").read_text()
    script = text.partition("\tpostrotate\n")[2].partition("\tendscript")[0]
    script = script.replace("dir=/run/resqued", f"dir={place}")
    return script.partition("\t\t# Masters that systemd starts")[0]


def signalled(place: Path) -> list[str]:
    """Run what the example runs after a rotation; return the pids that it means."""
    # They are only named here: -1 would be every process of this machine.
    script = after_rotation(place).replace('reopen_log "$pid"', 'echo "$pid"')
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("content", "mode", "owner", "is_signalled"),
    [
        ("4711\n", 0o755, 0, True),
        ("4711\n", 0o755, 65534, False),
        ("4711\n", 0o777, 0, False),
        ("4711\n", 0o775, 0, False),
        *(
            (text, 0o755, 0, False)
            for text in ("-1", "-- -1", "0", "01", "1", "", "4 5")
        ),
    ],
)
def test_logrotate_signals_only_what_its_own_user_has_named(
    tmp_path: Path, content: str, mode: int, owner: int, is_signalled: bool
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    file = place / "x.pid"
    file.write_text(content)
    if owner:
        if os.geteuid() != 0:
            pytest.skip("takes another user: be root")
        os.chown(file, owner, owner)
    place.chmod(mode)
    assert signalled(place) == []
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert signalled(place) == (["4711"] if is_signalled else [])


def test_logrotate_waits_for_no_pipe(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.mkfifo(tmp_path / "x.pid")
    (tmp_path / "y.pid").symlink_to("/proc/self/environ")
    assert signalled(tmp_path) == []


def performed_or_more(file: Path) -> bool:
    return "master_ready" in file.read_text()
