"""A process of the fork server is as one that exec has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.daemon import RESQUED, Daemon, clean_environment, start
from tests.support.fork_server import COMMAND, ForkedProcess, fork_server
from tests.support.processes import title
from tests.support.wait import scaled, wait_until


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["config", "show", "--json"],
        ["config", "nonsense"],
        ["status", "-r", "redis://127.0.0.1:1"],
        ["work", "-a", "no_such_application", "q"],
    ],
    ids=" ".join,
)
def test_it_writes_and_ends_as_after_exec(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "resqued.toml").write_text('[redis]\nnamespace = "of-the-directory"\n')
    env = clean_environment() | {"RESQUED_CONFIG": "resqued.toml"}
    command = [*COMMAND, *words]
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, check=False
    )
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as output, err.open("wb") as errors:
        forked = start(
            command,
            cwd=tmp_path,
            env=env,
            output=output.fileno(),
            errors=errors.fileno(),
        )
        assert isinstance(forked, ForkedProcess)
        status = forked.wait(scaled(60))
    assert (status, out.read_bytes(), err.read_bytes()) == (
        ended.returncode,
        ended.stdout,
        ended.stderr,
    )


def test_it_is_a_child_in_a_session_of_its_own(redis_url: str, tmp_path: Path) -> None:
    with Daemon("q", "-a", "os", "-r", redis_url, cwd=tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        assert psutil.Process(daemon.pid).ppid() == os.getpid()
        assert os.getsid(daemon.pid) == daemon.pid
        assert title(daemon.pid).startswith("resqued master ")
        assert Path(f"/proc/{daemon.pid}/cwd").readlink() == tmp_path
        # The streams; anything else of the server's would stay open in all of them.
        files = [fd.path for fd in psutil.Process(daemon.pid).open_files()]
        assert files == [str(daemon.log_path)] * 2
        daemon.signal(signal.SIGKILL)
        assert daemon.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "env"),
    [
        (("sh", "-c", 'exec "$@"', "sh", *RESQUED), {}),
        (RESQUED, {"PYTHONUTF8": "1"}),
        (RESQUED, {"TZ": "Asia/Tokyo"}),
        ((sys.executable, "-P", "-m", "resqued", "work"), {}),
    ],
    ids=["another program", "an option of Python", "a time zone", "a flag"],
)
def test_what_exec_alone_can_give_is_started_by_exec(
    command: tuple[str, ...], env: dict[str, str]
) -> None:
    server = fork_server(clean_environment())
    assert server.serves(RESQUED, clean_environment())
    assert not server.serves(command, clean_environment() | env)


def test_an_exit_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as silent, log.open("wb") as output:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=600"
        forked = start(
            [*RESQUED, "-r", url, "q", "-a", "os"],
            cwd=tmp_path,
            env=clean_environment(),
            output=output.fileno(),
        )
        assert forked.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            forked.wait(0)
        forked.kill()
    assert wait_until(lambda: forked.poll() is not None)
    assert forked.poll() == forked.wait() == -signal.SIGKILL
