"""What the commands do for a user who is not root."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from click.testing import CliRunner
from msgspec.structs import replace

from resqued.cli import cli
from resqued.config import loader
from resqued.config.schema import Field
from tests.support.daemon import Daemon, clean_environment
from tests.support.nobody import USER, Ground, ground
from tests.support.wait import scaled


@pytest.fixture(scope="module")
def place() -> Iterator[Ground]:
    with ground() as found:
        yield found


def as_nobody(
    place: Ground, *args: str, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        place.as_nobody("-m", "resqued", *args),
        env={**clean_environment(), **place.env, **env},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


def config_of_nobody(place: Ground, text: str) -> Path:
    """Write the own configuration file of the user; return the directory to name."""
    base = place.place / "config"
    file = base / "resqued" / "resqued.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(text)
    user = pwd.getpwnam(USER)
    os.chown(file, user.pw_uid, user.pw_gid)
    return base


def test_a_configuration_that_cannot_be_read_is_an_error_and_no_other_redis(
    place: Ground, redis_url: str, redis: redis_py.Redis
) -> None:
    base = config_of_nobody(place, f'[redis]\nurl = "{redis_url}"\n')
    env = {"XDG_CONFIG_HOME": str(base)}
    assert as_nobody(place, "enqueue", "-q", "q", "Noop", env=env).returncode == 0
    assert redis.llen("resque:queue:q") == 1
    (base / "resqued" / "resqued.toml").chmod(0)
    for args in (("enqueue", "-q", "q", "Noop"), ("queues",), ("config", "show")):
        result = as_nobody(place, *args, env=env)
        assert result.returncode == 78, result
        (line,) = result.stderr.splitlines()
        assert "resqued.toml cannot be read: Permission denied" in line
    assert redis.llen("resque:queue:q") == 1


def test_masters_of_other_users_do_not_fail_the_probe_of_a_user(
    place: Ground, redis_url: str
) -> None:
    directory = place.place / "run"
    directory.mkdir()
    user = pwd.getpwnam(USER)
    os.chown(directory, user.pw_uid, user.pw_gid)
    env = {"RUNTIME_DIRECTORY": str(directory), "REDIS_URL": redis_url}
    own = Daemon(
        *("q", "-a", "tests.support.jobs"),
        cwd=place.place,
        env={**place.env, **env, "TEST_REDIS_URL": redis_url},
        command=place.as_nobody("-m", "resqued", "work"),
    )
    # As the control socket of a master of root.
    with socket.socket(socket.AF_UNIX) as foreign:
        path = directory / f"{os.getpid()}.sock"
        foreign.bind(str(path))
        path.chmod(0o600)
        foreign.listen()
        result = as_nobody(place, "status", "--check", env=env)
        assert result.returncode == 1, result
        assert f"master {os.getpid()} belongs to root" in result.stderr
        with own:
            own.wait_for_event("master_ready")
            result = as_nobody(place, "status", "--check", env=env)
            assert result.returncode == 0, result
            assert result.stdout.endswith("is running, with 1 worker\n")


def test_a_command_that_changes_a_server_nobody_has_named_says_which(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loader.BY_NAME, ("redis", "url"), default_url(redis_url))
    fields = tuple(loader.BY_NAME[field.section, field.key] for field in loader.FIELDS)
    monkeypatch.setattr(loader, "FIELDS", fields)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    line = f"resqued: no Redis server is named; {redis_url} is used\n"
    for args in (("enqueue", "-q", "q", "Noop"), ("queues", "clear", "-y", "q")):
        assert CliRunner().invoke(cli, args).stderr == line
        named = CliRunner().invoke(cli, (*args, "-r", redis_url))
        assert line not in named.stderr
    # What changes nothing says no more than it always did.
    assert CliRunner().invoke(cli, ("queues",)).stderr == ""


def default_url(url: str) -> Field:
    return replace(loader.BY_NAME["redis", "url"], default=url)
