"""The commands that talk to a running master, through its control socket."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.embedded import EmbeddedServer
from resqued.errors import ConfigError, ControlError, ExitCode
from resqued.system import process
from tests.support.cli import HOST, Run, rows
from tests.support.daemon import Daemon, clean_environment
from tests.support.pool import failures, pool
from tests.support.proxy import Proxy
from tests.support.wait import scaled, wait_until

# Everything that needs a master, with what it needs to be complete.
ORDERS = (
    ("pause",),
    ("resume",),
    ("scale", "1"),
    ("drain",),
    ("reload",),
    ("kill", "1"),
    ("kill", "--older-than", "1s"),
    ("stack", "1"),
    ("top",),
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands look for masters: where those of this test are."""
    place = tmp_path / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
    return place


@contextmanager
def ready(daemon: Daemon) -> Iterator[Daemon]:
    """Start a daemon, and in the end do not wait for the jobs it runs."""
    with daemon:
        daemon.wait_for_event("master_ready")
        yield daemon
        if daemon.is_running():
            daemon.signal(signal.SIGTERM)
            daemon.wait()


def started(redis: redis_py.Redis, count: int = 1) -> list[int]:
    """Return what `count` jobs have told when they began."""
    told = [redis.blpop("started", scaled(30)) for _ in range(count)]
    assert None not in told
    return [int(each[1]) for each in told]


def begin(client: resqued.Client, redis: redis_py.Redis) -> int:
    """Have one long job run; return the pid of its child."""
    client.enqueue_to("default", "Nap", 300)
    (pid,) = started(redis)
    return pid


def status_of(run: Run) -> dict[str, Any]:
    (status,) = json.loads(run("status", "--json").stdout)["masters"]
    assert isinstance(status, dict)
    return status


def by_child(run: Run, child: int) -> dict[str, Any]:
    """Return the worker of a child, once the master knows what it runs."""

    def found() -> dict[str, Any] | None:
        masters = json.loads(run("status", "--json").stdout)["masters"]
        workers = [w for m in masters for w in m["workers"] if w["child"] == child]
        return workers[0] if workers and workers[0]["job"] else None

    return wait_until(found, what=f"a worker with child {child}")


def failed_with(run: Run, *args: str) -> tuple[str, int]:
    """Run a command that the master refuses; return the message and the status."""
    error = run(*args, fails=ControlError).exception
    assert isinstance(error, ControlError)
    return str(error), error.exit_code


# Pause, resume, drain


def test_a_paused_pool_takes_no_job_until_it_is_resumed(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    assert run("pause").stdout == (
        f"master {daemon.pid} is paused; `resqued resume` resumes it\n"
    )
    assert status_of(run)["is_paused"]
    client.enqueue_to("default", "Nap", 0)
    # The order reached the workers before the answer came; so did the job, if one
    # had taken it in spite of it.
    run("drain", "--wait")
    assert (client.size("default"), redis.llen("started")) == (1, 0)
    assert f"master {daemon.pid} running, paused," in run("status").stdout
    assert run("resume").stdout == f"master {daemon.pid} takes jobs\n"
    started(redis)
    assert not status_of(run)["is_paused"]


def test_drain_waits_for_the_running_jobs(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    child = begin(client, redis)
    by_child(run, child)
    assert run("drain").stdout == f"master {daemon.pid} is paused; 1 job still runs\n"
    with command("drain", "--wait", directory=daemon.runtime_directory) as waiting:
        daemon.wait_for_event("order_received", count=2)
        late = run("drain", "--wait", "--timeout", "100ms", fails=ControlError)
        assert str(late.exception).endswith("continues; 1 job still runs")
        assert waiting.poll() is None
        os.kill(child, signal.SIGKILL)
        output, _ = waiting.communicate(timeout=scaled(30))
    assert output == f"master {daemon.pid} is paused, and no job runs\n"
    assert waiting.returncode == 0
    assert len(failures(redis)) == 1


def command(*args: str, directory: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a command of its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "resqued", *args],
        env={**clean_environment(), "RUNTIME_DIRECTORY": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_who_waits_hears_that_the_master_has_gone(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client, tmp_path: Path
) -> None:
    with ready(pool(redis_url, tmp_path)) as daemon:
        begin(client, redis)
        with command("drain", "--wait", directory=daemon.runtime_directory) as waiting:
            daemon.wait_for_event("order_received")
            daemon.signal(signal.SIGKILL)
            _, error = waiting.communicate(timeout=scaled(30))
    assert error == f"resqued: master {daemon.pid} has gone, and gave no answer\n"
    assert waiting.returncode == ExitCode.UNAVAILABLE


# Scale


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["5"], 5),
        (["+1"], 3),
        (["-1"], 1),
        (["--", "-1"], 1),
        (["default", "-2"], 0),
        (["default", "--", "-1"], 1),
        (["default", "3"], 3),
    ],
)
def test_scale_changes_how_many_workers_there_are(
    run: Run, daemon: Daemon, words: list[str], wanted: int
) -> None:
    many = f"{wanted} worker{'' if wanted == 1 else 's'}"
    assert run("scale", *words).stdout == f"default: {many}, before 2\n"
    wait_until(lambda: len(daemon.workers()) == wanted, what=many)
    wait_until(lambda: len(status_of(run)["workers"]) == wanted)
    assert status_of(run)["pools"] == {"default": wanted}


def test_the_queues_of_a_pool_are_named_where_there_is_more_than_one(
    run: Run, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "pools.toml"
    file.write_text(
        '[app]\nimport = "tests.support.jobs"\n'
        '[[pool]]\nqueues = "high,low"\n[[pool]]\nqueues = "*"\n'
    )
    with Daemon("-c", str(file), "-r", redis_url, cwd=tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        assert run("scale", "high,low", "+1").stdout == (
            "high,low: 2 workers, before 1\n"
        )
        message, status = failed_with(run, "scale", "+1")
        assert message == (
            f"master {daemon.pid}: which pool? name its queues:"
            " there are 'high,low' and '*'"
        )
        assert status == ExitCode.FAILED
        message, _ = failed_with(run, "scale", "nope", "1")
        assert message.endswith("no pool on 'nope'; there is 'high,low' and '*'")
        message, _ = failed_with(run, "scale", "*", "-2")
        assert "that would be -1 workers: must be from 0" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1.5"], "'1.5' is not N, +N or -N, such as 4, +1 or -1."),
        (["--", "--1"], "'--1' is not N, +N or -N, such as 4, +1 or -1."),
        (["\u0663"], "'\u0663' is not N, +N or -N, such as 4, +1 or -1."),
        (["--workers", "1"], "No such option '--workers'."),
        (
            ["a", "b", "1"],
            "One queue list only, with commas and no spaces, and quoted if it has a *.",
        ),
        ([], "Missing argument 'N|+N|-N'."),
    ],
)
def test_scale_by_what_is_no_number_is_wrong_usage(
    run: Run, words: list[str], message: str
) -> None:
    error = run("scale", *words, fails=SystemExit)
    assert error.exit_code == ExitCode.USAGE
    assert error.output.splitlines()[-1] == f"Error: {message}"


# Kill


@pytest.mark.parametrize("way", ["id", "pid", "child"])
def test_a_job_is_ended_by_the_worker_or_by_the_child(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis, way: str
) -> None:
    child = begin(client, redis)
    worker = by_child(run, child)
    told = run("kill", str(worker[way])).stdout
    assert re.fullmatch(
        rf"ending Nap of queue default, for [\d.]+s"
        rf" \(worker {re.escape(worker['id'])}, child {child}\)\n",
        told,
    )
    (failure,) = wait_until(lambda: failures(redis))
    assert failure["worker"] == worker["id"]
    who = pwd.getpwuid(os.geteuid()).pw_name
    assert re.fullmatch(
        rf"SIGTERM: it was ended after [\d.hms]+ by `resqued kill` \({who}\)",
        failure["error"],
    )
    # The worker continues.
    assert worker["pid"] in {w["pid"] for w in status_of(run)["workers"]}


def test_only_jobs_that_are_older_are_ended(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    first = begin(client, redis)
    # Many times what it takes to send the order.
    wait_until(lambda: by_child(run, first)["since"] > scaled(4))
    assert run("kill", "--older-than", "1h").stdout == (
        "no job has run for longer than 1h00m\n"
    )
    second = begin(client, redis)
    by_child(run, second)
    age = by_child(run, first)["since"]
    told = run("kill", "--older-than", f"{age}s").stdout
    assert f"child {first})" in told
    assert f"child {second})" not in told
    (failure,) = wait_until(lambda: failures(redis))
    assert failure["payload"]["class"] == "Nap"
    assert by_child(run, second)["child"] == second


def test_kill_asks_before_it_ends_more_than_one_job(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    children = [begin(client, redis), begin(client, redis)]
    for child in children:
        by_child(run, child)
    result = run("kill", "--older-than", "0.001s", fails=SystemExit)
    assert result.exit_code == ExitCode.USAGE
    assert "add --yes: there is no terminal to ask on" in result.output
    assert {w["child"] for w in status_of(run)["workers"]} == set(children)
    told = run("kill", "--older-than", "0.001s", "--yes").stdout
    assert told.count("ending Nap of queue default") == 2
    wait_until(lambda: len(failures(redis)) == 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name a worker, or say --older-than TIME."),
        (["1", "--older-than", "1s"], "Name a worker, or say --older-than TIME."),
        (
            ["--older-than", "soon"],
            "Invalid value for '--older-than': 'soon' is not a duration",
        ),
    ],
)
def test_kill_is_told_whom(run: Run, words: list[str], message: str) -> None:
    result = run("kill", *words, fails=SystemExit)
    assert result.exit_code == ExitCode.USAGE
    assert result.output.splitlines()[-1].startswith(f"Error: {message}")


@pytest.mark.parametrize("order", ["kill", "stack"])
def test_who_is_nobody_or_idle_has_no_job(run: Run, daemon: Daemon, order: str) -> None:
    message, status = failed_with(run, order, "nobody:1:q")
    assert message == (
        f"master {daemon.pid}: nobody:1:q is no worker of this master, and no child"
        " of one; `resqued top` lists them"
    )
    assert status == ExitCode.FAILED
    (idle, _) = status_of(run)["workers"]
    message, _ = failed_with(run, order, str(idle["pid"]))
    assert message == f"master {daemon.pid}: worker {idle['id']} runs no job"


# Stack


def test_stack_shows_the_line_that_the_job_is_at(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    child = begin(client, redis)
    worker = by_child(run, child)
    first, *lines = run("stack", worker["id"]).stdout.splitlines()
    assert first == f"child {child} of worker {worker['id']}:"
    assert any(re.search(r'jobs\.py", line \d+ in nap', line) for line in lines)
    # The frames below those of the job are ours.
    assert not any("resqued/" in line for line in lines)
    assert re.fullmatch(r"\(\d+ frames of resqued below .*--all.*\)", lines[-1])
    everything = run("stack", worker["id"], "--all").stdout
    assert "resqued/child.py" in everything
    assert "--all" not in everything
    assert by_child(run, child)["child"] == child


# Reload


@pytest.fixture
def application(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text("VERSION = 1\n")
    return file


def test_reload_says_whether_the_new_code_is_on(
    run: Run, redis_url: str, tmp_path: Path, application: Path
) -> None:
    with ready(pool(redis_url, tmp_path, "-a", "app", workers=2)) as daemon:
        old = set(daemon.workers())
        assert run("reload", "--wait").stdout == (
            f"master {daemon.pid} has moved to generation 2\n"
        )
        # An old one may still be on its way out; it takes no jobs any more.
        wait_until(
            lambda: {w["generation"] for w in status_of(run)["workers"]} == {2},
            what="the old workers to leave",
        )
        new = {w["pid"] for w in status_of(run)["workers"]}
        assert not old & new
        application.write_text("def broken(:\n")
        message, status = failed_with(run, "reload", "--wait")
        assert message.startswith(
            f"master {daemon.pid}: reload to generation 3 failed: "
        )
        assert "app.py" in message
        assert status == ExitCode.FAILED
        # The generation before continues, and status says why.
        shown = run("status").stdout
        assert f"master {daemon.pid} running, generation 2," in shown
        assert "reload to generation 3 failed: " in shown
        found = status_of(run)
        assert {w["pid"] for w in found["workers"]} == new
        assert found["last_reload"]["generation"] == 3
        application.write_text("VERSION = 2  # mended\n")
        assert run("reload").stdout == (
            f"master {daemon.pid} starts generation 4;"
            " `resqued status` says what came of it\n"
        )
        wait_until(
            lambda: status_of(run)["last_reload"] == {"generation": 4, "error": ""}
        )
        assert "failed:" not in run("status").stdout


def test_reload_can_replace_the_master_too(
    run: Run, redis_url: str, tmp_path: Path, application: Path
) -> None:
    with ready(pool(redis_url, tmp_path, "-a", "app", workers=2)) as daemon:
        assert run("reload", "--master").stdout == (
            f"master {daemon.pid} runs its new program and has moved to generation 2\n"
        )
        assert daemon.events("master_resumed")
        application.write_text("def broken(:\n")
        message, status = failed_with(run, "reload", "--master")
        assert "reload to generation 3 failed: " in message
        assert status == ExitCode.FAILED
        # One of generation 1 may still be on its way out.
        wait_until(
            lambda: [w["generation"] for w in status_of(run)["workers"]] == [2, 2],
            what="two workers of the generation that continues",
        )


# Which master


@pytest.mark.parametrize("words", ORDERS, ids=" ".join)
def test_without_a_master_there_is_nobody_to_tell(
    run: Run, directory: Path, words: tuple[str, ...]
) -> None:
    message, status = failed_with(run, *words)
    assert message == (
        f"no master runs here: there is no socket of one in {directory};"
        " start one, or run this as the user of the master"
    )
    assert status == ExitCode.UNAVAILABLE


def test_a_socket_that_was_left_behind_is_no_master(
    run: Run, redis_url: str, tmp_path: Path, directory: Path
) -> None:
    with ready(pool(redis_url, tmp_path)) as daemon:
        daemon.signal(signal.SIGKILL)
        daemon.wait()
    assert [path.name for path in directory.iterdir()] == [f"{daemon.pid}.sock"]
    failed_with(run, "pause")
    assert json.loads(run("status", "--json").stdout)["masters"] == []
    # The next master clears it away.
    with ready(pool(redis_url, tmp_path)) as daemon:
        assert [path.name for path in directory.iterdir()] == [f"{daemon.pid}.sock"]
    assert list(directory.iterdir()) == []


def test_of_several_masters_one_is_named(
    run: Run,
    redis_url: str,
    redis: redis_py.Redis,
    client: resqued.Client,
    tmp_path: Path,
) -> None:
    with (
        ready(pool(redis_url, tmp_path, queues="default")) as one,
        ready(pool(redis_url, tmp_path, queues="high,low", workers=2)) as other,
    ):
        result = run("pause", fails=SystemExit)
        assert result.exit_code == ExitCode.USAGE
        named = sorted([(one.pid, "default: 1"), (other.pid, "high,low: 2")])
        listed = ", ".join(f"{pid} ({pools})" for pid, pools in named)
        assert result.output.splitlines()[-1] == (
            f"Error: Several masters run here, so name one with --pid: {listed}"
        )
        message, status = failed_with(run, "pause", "--pid", "1")
        assert message == (f"no master has the pid 1; those that run here: {listed}")
        assert status == ExitCode.UNAVAILABLE
        run("pause", "--pid", str(other.pid))
        shown = json.loads(run("status", "--json").stdout)["masters"]
        assert {m["pid"]: m["is_paused"] for m in shown} == {
            one.pid: False,
            other.pid: True,
        }
        # A worker is of one master only.
        child = begin(client, redis)
        by_child(run, child)
        assert f"child {child} of worker" in run("stack", str(child)).stdout
        message, _ = failed_with(run, "kill", "nobody:1:q")
        assert "no worker of any master here" in message
        assert f"child {child})" in run("kill", str(child)).stdout
        top = run("top").stdout
        assert all(f"master {pid} running" in top for pid, _ in named)


def test_the_masters_that_are_meant_serve_the_same_redis_and_namespace(
    run: Run, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ready(pool(redis_url, tmp_path)) as ours,
        ready(pool(redis_url, tmp_path, "-N", "elsewhere")) as theirs,
    ):
        shown = run("status").stdout
        assert f"master {ours.pid} running" in shown
        assert str(theirs.pid) not in shown
        there = f"{redis_url}, namespace elsewhere"
        assert f"\n1 more master here serves {there}\n" in shown
        run("pause")
        assert run("kill", "--older-than", "1s", "--yes").exit_code == 0
        assert (
            "no worker of any master here that serves"
            in (failed_with(run, "kill", str(theirs.workers().pop()))[0])
        )
        for options in (("-N", "elsewhere"), ("--pid", str(theirs.pid))):
            (found,) = json.loads(run("top", "--json", *options).stdout)
            assert (found["pid"], found["is_paused"]) == (theirs.pid, False)
            assert (found["redis"], found["namespace"]) == (redis_url, "elsewhere")
        message, status = failed_with(run, "reload", "-N", "nobody")
        assert message.startswith(
            f"no master here serves {redis_url}, namespace nobody;"
        )
        assert f"{theirs.pid} ({there})" in message
        assert status == ExitCode.UNAVAILABLE
    # The only master of the host is meant if nothing names a Redis.
    with ready(pool(redis_url, tmp_path, "-N", "elsewhere")) as theirs:
        failed_with(run, "pause")
        monkeypatch.delenv("REDIS_URL")
        assert run("pause").stdout.startswith(f"master {theirs.pid} is paused")


def test_the_directory_is_the_one_of_the_configuration(
    run: Run, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    file = tmp_path / "resqued.toml"
    with pool(
        redis_url, tmp_path, config=f'[control]\ndirectory = "{place}"\n'
    ) as daemon:
        daemon.wait_for_event("master_ready")
        failed_with(run, "pause")
        run("pause", "-c", str(file))
        assert status_of_file(run, file)["is_paused"]
        monkeypatch.setenv("RESQUED_CONFIG", str(file))
        run("resume")
        # What else is wrong with the file is no reason not to reach the master.
        file.write_text(f'nonsense = 1\n[control]\ndirectory = "{place}"\n')
        run("pause")
        file.write_text("[")
        error = run("resume", fails=ConfigError).exception
        assert str(file) in str(error)
        # Where masters usually are, one is found all the same.
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
        run("resume")


def status_of_file(run: Run, file: Path) -> dict[str, Any]:
    (status,) = json.loads(run("status", "--json", "-c", str(file)).stdout)["masters"]
    assert isinstance(status, dict)
    return status


def test_a_master_that_is_stopped_does_not_keep_anybody_waiting(
    run: Run, daemon: Daemon
) -> None:
    daemon.signal(signal.SIGSTOP)
    try:
        message, status = failed_with(run, "pause")
        assert message.startswith(f"master {daemon.pid} does not answer within 5 s")
        assert status == ExitCode.UNAVAILABLE
        first = run("status").stdout.splitlines()[0]
        assert first.startswith(f"master {daemon.pid} does not answer within")
    finally:
        daemon.signal(signal.SIGCONT)
    assert daemon.is_running()


# Whose the master is

AS_NOBODY = """
import os, sys
from resqued.cli import LazyGroup, cli, main
for name in cli.list_commands(None):
    cli.get_command(None, name)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.argv = ["resqued", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="to become somebody else takes root")
@pytest.mark.parametrize(
    ("mode", "status", "message"),
    [
        (0o700, ExitCode.UNAVAILABLE, "{none}; {place} belongs to root: ask as root"),
        (0o755, ExitCode.FAILED, "master {pid} belongs to root: ask as root"),
    ],
)
def test_somebody_else_is_told_whose_the_master_is(
    redis_url: str, tmp_path: Path, mode: int, status: int, message: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="resqued-") as name:
        place = Path(name)
        environment = {"RUNTIME_DIRECTORY": name}
        with ready(pool(redis_url, tmp_path, env=environment)) as daemon:
            place.chmod(mode)
            result = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, "pause"],
                env={**clean_environment(), **environment, "PYTHONSAFEPATH": "1"},
                capture_output=True,
                text=True,
                timeout=scaled(30),
                check=False,
            )
            assert not daemon.events("order_received")
    none = f"no master runs here: there is no socket of one in {place}"
    told = message.format(place=place, pid=daemon.pid, none=none)
    assert (result.returncode, result.stderr) == (status, f"resqued: {told}\n")


# What is shown, what is logged


def test_status_shows_the_pool_of_this_host(
    run: Run,
    redis_url: str,
    redis: redis_py.Redis,
    client: resqued.Client,
    tmp_path: Path,
) -> None:
    limits = '[limits]\nruntime = "1h"\nmemory = "512M"\n'
    with ready(pool(redis_url, tmp_path, workers=2, config=limits)) as daemon:
        child = begin(client, redis)
        worker = by_child(run, child)
        wait_until(lambda: by_child(run, child)["limits"])
        shown = rows(run("status"))
        assert shown[0][0].startswith(f"master {daemon.pid} running, generation 1, up ")
        assert shown[0][0].endswith(", 2 of 2 workers, 1 working")
        assert shown[1] == [f"default: 2; {redis_url}, namespace resque"]
        titles, busy, idle = shown[-3:]
        assert titles == [
            *("WORKER", "STATE", "FOR", "QUEUE", "JOB", "LIMITS", "PROCESSED"),
            *("FAILED", "HEARTBEAT", "GEN"),
        ]
        assert busy[:2] == [worker["id"], "working"]
        assert busy[3:8] == ["default", "Nap(300)", "1h00m, 512 MB", "0", "0"]
        assert busy[9] == "1"
        assert idle[1] == "idle"
        # Each worker stands there once.
        assert run("status").stdout.count(worker["id"]) == 1
        found = by_child(run, child)
        assert found["job"] == {"queue": "default", "class": "Nap"}
        assert found["limits"] == {"runtime": 3600, "memory": 512 << 20}
        assert found["id"] == f"{HOST}:{found['pid']}:default"


def test_an_idle_worker_is_idle_since_its_last_job(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    def ages() -> list[float]:
        return [worker["since"] for worker in status_of(run)["workers"]]

    wait_until(lambda: min(ages()) > 1, what="workers that are idle for a while")
    before = ages()
    # A look that finds no job does not begin it again, nor does a pause.
    run("pause")
    wait_until(
        lambda: all("Paused" in process.title(pid) for pid in daemon.workers()),
        what="the workers to know of the pause",
    )
    assert all(now >= then for now, then in zip(ages(), before, strict=True))
    run("resume")


def test_status_shows_the_pool_even_if_redis_is_away(
    run: Run, server: EmbeddedServer, tmp_path: Path, redis_url: str
) -> None:
    with Proxy(server.port) as proxy:
        url = f"{proxy.url[:-1]}{redis_url.rpartition('/')[2]}"
        with ready(pool(url, tmp_path, direct_url=redis_url)) as daemon:
            proxy.refuse()
            check_that_the_pool_is_shown(run, daemon, url)
            proxy.forward()


def check_that_the_pool_is_shown(run: Run, daemon: Daemon, url: str) -> None:
    away = ("-r", url)
    result = run("status", *away, fails=resqued.StoreError)
    assert isinstance(result.exception, resqued.StoreError)
    assert result.exception.exit_code == ExitCode.UNAVAILABLE
    assert result.stdout.startswith(f"master {daemon.pid} running, generation 1,")
    assert "waiting" not in result.stdout
    assert f"{HOST}:" in result.stdout
    told = run("status", "--json", *away, fails=resqued.StoreError)
    shown = json.loads(told.stdout)
    assert [master["pid"] for master in shown["masters"]] == [daemon.pid]
    assert shown["error"] == str(told.exception)


def test_every_order_is_logged_with_who_sent_it(
    run: Run,
    redis_url: str,
    redis: redis_py.Redis,
    client: resqued.Client,
    tmp_path: Path,
) -> None:
    with ready(pool(redis_url, tmp_path, workers=2)) as daemon:
        order_everything(run, daemon, client, redis)


def order_everything(
    run: Run, daemon: Daemon, client: resqued.Client, redis: redis_py.Redis
) -> None:
    child = begin(client, redis)
    by_child(run, child)
    run("stack", str(child))
    run("kill", str(child))
    for words in (["scale", "3"], ["pause"], ["resume"], ["drain"], ["reload"]):
        run(*words)
    orders = daemon.wait_for_event("order_received", count=6)
    assert [event["order"] for event in orders] == [
        *("kill", "scale", "pause", "resume", "drain", "reload")
    ]
    for event in orders:
        assert re.fullmatch(
            rf"{os.getpid()} \(.+\), uid {os.geteuid()}", event["sent_by"]
        )
    assert (orders[0]["who"], orders[1]["workers"]) == (str(child), "3")
