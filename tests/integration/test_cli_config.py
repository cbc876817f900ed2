"""Where the commands take their configuration from: Resque's variables too."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import resqued
from resqued.errors import ConfigError
from tests.support.cli import Run
from tests.support.daemon import Daemon


@pytest.mark.parametrize("variable", ["QUEUE", "QUEUES"])
def test_work_takes_queues_count_and_burst_mode_from_resques_variables(
    variable: str, redis_url: str, client: resqued.Client, tmp_path: Path
) -> None:
    client.enqueue_many(([n] for n in range(6)), job="Noop", queue="high")
    client.enqueue_to("other", "Noop")
    env = {variable: "low,high", "COUNT": "2", "INTERVAL": "0", "REDIS_URL": redis_url}
    with Daemon("-a", "tests.support.jobs", cwd=tmp_path, env=env) as daemon:
        assert daemon.wait() == 0
        started = daemon.events("master_started")
        workers = {event["worker"] for event in daemon.events("worker_spawned")}
    assert started[0]["workers"] == 2
    assert len(workers) == 2
    assert all(worker.endswith(":low,high") for worker in workers)
    assert client.queue_sizes() == {"high": 0, "other": 1}
    assert client.info().processed == 6


def test_queues_wins_over_queue_and_an_argument_over_both(
    redis_url: str, client: resqued.Client, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        client.enqueue_to(name, "Noop")
    env = {"QUEUE": "a", "QUEUES": "b", "INTERVAL": "0", "REDIS_URL": redis_url}
    for args, left in (
        ((), {"a": 1, "b": 0, "c": 1}),
        (("c",), {"a": 1, "b": 0, "c": 0}),
    ):
        with Daemon(*args, "-a", "tests.support.jobs", cwd=tmp_path, env=env) as daemon:
            assert daemon.wait() == 0
        assert client.queue_sizes() == left


COMMON = """
[app]
import = ["tests.support.jobs"]
[[pool]]
queues = "common"
workers = 3
"""


@pytest.mark.parametrize(
    ("name", "own", "lists"),
    [
        (r"critical\x2chigh", None, ["critical,high"]),
        ("critical,high", None, ["critical,high"]),
        ("low-priority", None, ["low-priority"]),
        (r"low\x2dpriority", None, ["low-priority"]),
        (r"a\x2fb", ("a_b", "[worker]\nmax_jobs = 1"), ["a/b"]),
        ("all", None, ["*"]),
        ("mail", ("mail", '[[pool]]\nqueues = "a,b"'), ["a,b"]),
    ],
)
def test_an_instance_is_its_queue_list_or_what_its_own_file_says(
    name: str,
    own: tuple[str, str] | None,
    lists: list[str],
    redis_url: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "resqued.toml").write_text(COMMON)
    if own:
        (tmp_path / f"{own[0]}.toml").write_text(own[1])
    env = {"REDIS_URL": redis_url, "INTERVAL": "0"}
    args = ("--instance", name, "-c", str(tmp_path / "resqued.toml"))
    with Daemon(*args, cwd=tmp_path, env=env) as daemon:
        assert daemon.wait() == 0
        workers = [event["worker"] for event in daemon.events("worker_spawned")]
    assert [worker.split(":", 2)[2] for worker in workers] == lists


def test_an_instance_counts_its_workers_but_serves_no_other_queues(
    redis_url: str, tmp_path: Path
) -> None:
    # QUEUES in an environment file would be that of another service.
    env = {"COUNT": "2", "QUEUES": "x", "REDIS_URL": redis_url, "INTERVAL": "0"}
    with Daemon("--instance", "mail", cwd=tmp_path, env=env) as daemon:
        assert daemon.wait() == 0
        workers = [event["worker"] for event in daemon.events("worker_spawned")]
    assert [worker.split(":", 2)[2] for worker in workers] == ["mail", "mail"]


def test_the_file_of_an_instance_goes_before_the_common_one(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "resqued.toml").write_text(f'{COMMON}[log]\nlevel = "debug"\n')
    (tmp_path / "mail.toml").write_text('[log]\nlevel = "error"\n[worker]\nnope = 1\n')
    args = ("--instance", "mail", "-c", str(tmp_path / "resqued.toml"))
    with Daemon(*args, cwd=tmp_path, env={"REDIS_URL": redis_url}) as daemon:
        assert daemon.wait() == 78
        assert f"{tmp_path}/mail.toml: [worker]: unknown key 'nope'" in daemon.log()
    (tmp_path / "mail.toml").write_text('[log]\nlevel = "error"\n')
    env = {"REDIS_URL": redis_url, "INTERVAL": "0"}
    with Daemon(*args, cwd=tmp_path, env=env) as daemon:
        assert daemon.wait() == 0
        assert daemon.events() == []


@pytest.mark.parametrize(
    ("env", "levels"),
    [
        ({}, {"info", "warning"}),
        ({"VVERBOSE": "1", "RESQUED_LOG_LEVEL": "error"}, set()),
    ],
)
def test_resques_verbosity_is_a_log_level(
    redis_url: str, tmp_path: Path, env: dict[str, str], levels: set[str]
) -> None:
    env = {**env, "REDIS_URL": redis_url, "QUEUE": "a", "INTERVAL": "0"}
    with Daemon(cwd=tmp_path, env=env) as daemon:
        assert daemon.wait() == 0
        assert {event["level"] for event in daemon.events()} == levels
        warnings = {e["event"] for e in daemon.events() if e["level"] == "warning"}
        # No module was named: every job would fail.
        expected = {"application_has_no_jobs"} if "warning" in levels else set()
        assert warnings - {"running_as_root"} == expected


def test_the_example_passes_the_check(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "resqued.toml"
    path.write_text(run("config", "example").stdout)
    result = run("config", "check", str(path))
    assert result.stdout == f"{path} is in order: 1 pool, 4 workers\n"


def test_show_prints_what_holds_as_toml_and_hides_passwords(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resqued.toml"
    path.write_text(
        '[redis]\nnamespace = "file"\ntimeout = "1s"\n'
        '[worker]\nhostname = "\\u007f\\"é"\n'
        '[log]\nlevel = "error"\nevents = { output = "off" }\n'
        '[[pool]]\nqueues = "a,b"\nworkers = 2\n'
    )
    monkeypatch.setenv("REDIS_URL", "redis://:pa55word@h/1")
    monkeypatch.setenv("RESQUED_LOG_LEVEL", "debug")
    shown = run("config", "show", "-c", str(path), "-N", "option").stdout
    values = tomllib.loads(shown)
    assert "pa55word" not in shown
    assert values["redis"] == {
        "url": "redis://:***@h/1",
        "namespace": "option",
        "timeout": 1.0,
        "min_replicas": 0,
    }
    assert values["log"]["level"] == "debug"
    assert values["log"]["events"] == {"output": "off"}
    assert values["worker"]["hostname"] == '\x7f"é'
    limits = {"runtime": 0.0, "memory": 0, "grace": 4.0}
    assert values["limits"] == {**limits, "max_runtime": 0.0, "max_memory": 0}
    pool = {"queues": "a,b", "workers": 2, "namespace": "option"}
    assert values["pool"] == [pool]
    as_json = run("config", "show", "-c", str(path), "-N", "option", "--json").stdout
    assert json.loads(as_json) == values
    again = tmp_path / "again.toml"
    again.write_text(shown)
    run("config", "check", str(again))


def test_check_takes_the_file_as_other_commands_do(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[[pool]]\nqueues = "a"\n')
    shown = f"{file} is in order: 1 pool, 1 worker\n"
    assert run("config", "check", str(file)).stdout == shown
    assert run("config", "check", "-c", str(file)).stdout == shown
    run("config", "check", str(file), "-c", str(file), fails=SystemExit)


def test_check_refuses_what_cannot_work_here(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    for line, problem in (
        (f'directory = "{tmp_path}/no"', f"there is no directory '{tmp_path}/no'"),
        ('import = ["photos.py"]', "'photos.py' is a file: name its module, photos"),
    ):
        file.write_text(f"[app]\n{line}\n")
        error = run("config", "check", str(file), fails=ConfigError).exception
        assert isinstance(error, ConfigError)
        assert [text.endswith(problem) for text in error.problems] == [True]
