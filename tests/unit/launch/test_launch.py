"""What a command is given to run a master with, and the configuration that it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resqued.config.layers import OptionsError, from_options, named_pool, text_at
from resqued.config.loader import PoolConfig
from resqued.errors import ConfigError, ExitCode, QueueListError
from resqued.launch.master_options import (
    Instance,
    MasterOptions,
    own_file,
    read_config,
)
from resqued.launch.stopping import find_pid_file, pid_file_in

VARIABLES = ("QUEUES", "QUEUE", "COUNT", "INTERVAL", "PIDFILE", "RESQUED_PIDFILE")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared file of the configuration; the environment says nothing else."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "resqued.toml"
    path.write_text('[redis]\nnamespace = "shared"\n')
    monkeypatch.setenv("RESQUED_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    ("queues", "workers", "environ", "pool"),
    [
        (None, None, {}, {}),
        ("a,b", None, {}, {"queues": "a,b", "workers": 1}),
        ("a,b", 3, {}, {"queues": "a,b", "workers": 3}),
        ("a", None, {"QUEUES": "b"}, {"queues": "a", "workers": 1}),
        (None, None, {"QUEUES": "b"}, {"queues": "b", "workers": 1}),
        (None, None, {"QUEUE": "c"}, {"queues": "c", "workers": 1}),
        (None, None, {"QUEUES": "b", "QUEUE": "c"}, {"queues": "b", "workers": 1}),
        (None, 2, {"QUEUE": "c"}, {"queues": "c", "workers": 2}),
        ("a", None, {"COUNT": " 4 "}, {"queues": "a", "workers": 4}),
        ("a", 2, {"COUNT": "4"}, {"queues": "a", "workers": 2}),
        ("a", 2, {"COUNT": "none"}, {"queues": "a", "workers": 2}),
        # A variable that is set and empty says nothing.
        ("a", None, {"COUNT": ""}, {"queues": "a", "workers": 1}),
        (None, None, {"COUNT": "none"}, {}),
    ],
)
def test_a_pool_is_named_by_arguments_or_by_the_variables_of_resque(
    queues: str | None,
    workers: int | None,
    environ: dict[str, str],
    pool: dict[str, Any],
) -> None:
    assert named_pool(queues, workers, environ) == pool


@pytest.mark.parametrize(
    ("queues", "workers", "environ", "error", "code"),
    [
        (None, 2, {}, OptionsError, ExitCode.USAGE),
        # An empty QUEUES wins over QUEUE, and is no list.
        (None, None, {"QUEUES": "", "QUEUE": "c"}, QueueListError, ExitCode.CONFIG),
        ("a", None, {"COUNT": "0"}, ConfigError, ExitCode.CONFIG),
        ("a", None, {"COUNT": "-1"}, ConfigError, ExitCode.CONFIG),
    ],
)
def test_what_names_no_pool_is_an_error(
    queues: str | None,
    workers: int | None,
    environ: dict[str, str],
    error: type[ConfigError],
    code: ExitCode,
) -> None:
    with pytest.raises(error) as caught:
        named_pool(queues, workers, environ)
    assert caught.value.exit_code is code


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({}, ""),
        ({"daemon": {}}, ""),
        ({"daemon": {"pid_file": "/x"}}, "/x"),
        # The tables were not checked: any value may stand there.
        ({"daemon": {"pid_file": 7}}, ""),
        ({"daemon": "/x"}, ""),
        ({"daemon": [{"pid_file": "/x"}]}, ""),
    ],
)
def test_a_text_is_found_in_tables_that_may_be_wrong(
    tables: dict[str, Any], text: str
) -> None:
    assert text_at(tables, "daemon", "pid_file") == text


def test_options_become_tables_and_problems_bear_their_names() -> None:
    given = {"redis": {"url": "redis://h", "namespace": None}, "app": {"import": None}}
    assert from_options(given) == {"redis": {"url": "redis://h"}}
    with pytest.raises(ConfigError) as caught:
        from_options({"limits": {"grace": "soon"}, "log": {"level": "loud"}})
    first, second = caught.value.problems
    assert first.startswith("--grace: ")
    assert second.startswith("--log-level: ")


def test_options_of_a_master_win_over_file_and_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[redis]\nnamespace = "shared"\n[worker]\ninterval = 9\n')
    monkeypatch.setenv("INTERVAL", "7")
    options = MasterOptions(queues="a", workers=2, namespace="own", user="nobody")
    built = read_config(options)
    assert built.pools == (PoolConfig("a", 2, namespace="own"),)
    assert (built.app.namespace, built.daemon.user) == ("own", "nobody")
    assert built.interval == 7.0
    assert read_config(MasterOptions(queues="a", interval="3")).interval == 3.0


def test_without_a_pool_there_is_nothing_to_run() -> None:
    with pytest.raises(ConfigError, match="no queues"):
        read_config(MasterOptions())


def test_the_problems_of_all_layers_are_raised_at_once(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("[worker]\nmax_jobs = -1\n")
    monkeypatch.setenv("RESQUED_LOG_LEVEL", "loud")
    with pytest.raises(ConfigError) as caught:
        read_config(MasterOptions(queues="a", grace="soon"))
    where = [problem.partition(":")[0] for problem in caught.value.problems]
    assert where == [str(config), "RESQUED_LOG_LEVEL", "--grace"]


MAIL = Instance("mail", "mail.toml")


def test_an_instance_has_the_pool_of_its_name_and_what_its_file_says(
    config: Path,
) -> None:
    config.write_text('[redis]\nnamespace = "shared"\n[[pool]]\nqueues = "x"\n')
    options = MasterOptions(instance=MAIL, workers=2)
    assert own_file(options) is None
    shared = PoolConfig("mail", 2, namespace="shared")
    assert read_config(options).pools == (shared,)
    own = config.with_name("mail.toml")
    own.write_text('[redis]\nnamespace = "mail"\n')
    assert own_file(options) == own
    built = read_config(options)
    assert (built.app.namespace, built.namespaces) == ("mail", ("mail",))
    assert built.pools == (PoolConfig("mail", 2, namespace="mail"),)
    own.write_text('[[pool]]\nqueues = "high,mail"\nworkers = 5\n')
    assert read_config(options).pools == (
        PoolConfig("high,mail", 5, namespace="shared"),
    )


def test_the_shared_file_is_not_taken_for_that_of_an_instance(config: Path) -> None:
    options = MasterOptions(instance=Instance("resqued", config.name))
    assert own_file(options) is None
    config.with_name("mail.toml").symlink_to(config)
    assert own_file(MasterOptions(instance=MAIL)) is None


def test_the_pid_file_is_the_named_one_or_lies_beside_the_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/mine")
    assert pid_file_in("x.pid", "/ignored") == tmp_path / "x.pid"
    assert pid_file_in("", "sockets") == tmp_path / "sockets" / "resqued.pid"
    assert pid_file_in("", "") == Path("/run/mine/resqued.pid")


def test_the_pid_file_is_found_though_the_rest_is_wrong(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[daemon]\npid_file = "/x/a.pid"\n[worker]\nnonsense = 1\n')
    assert find_pid_file(None, None) == Path("/x/a.pid")
    monkeypatch.setenv("RESQUED_LOG_LEVEL", "loud")
    monkeypatch.setenv("PIDFILE", "/x/b.pid")
    assert find_pid_file(None, None) == Path("/x/b.pid")
    assert find_pid_file("/x/c.pid", None) == Path("/x/c.pid")
