"""How a command ends that cannot continue: by a fault, a full disk, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.wait import scaled, wait_until


def test_the_traceback_is_there_for_those_who_ask(
    tmp_path: Path, closed_port: int
) -> None:
    result = subprocess.run(
        [*RESQUED, "--debug", "status", "-r", f"redis://127.0.0.1:{closed_port}"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 69
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("resqued: redis at ")


def test_a_fault_of_our_own_is_one_line_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import click\n@click.command()\ndef broken():\n    {}['x']\n"
    )
    program = (
        "from resqued import cli; cli.COMMANDS['broken'] = 'broken';"
        " import sys; sys.argv = ['resqued', 'broken']; cli.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (70, "")
    assert result.stderr == (
        "resqued: internal error: KeyError: 'x' at broken.py:4;"
        " RESQUED_DEBUG=1 shows the traceback\n"
    )


def test_output_that_nobody_reads_or_that_does_not_fit(tmp_path: Path) -> None:
    env = clean_environment()
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        gone = subprocess.run(
            [*RESQUED, "config", "example"],
            env=env,
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (gone.returncode, gone.stderr) == (0, b"")
    with Path("/dev/full").open("wb") as full:
        lost = subprocess.run(
            [*RESQUED, "config", "example"],
            env=env,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert lost.stderr == b"resqued: No space left on device\n"
    assert lost.returncode == 1


def test_ctrl_c_is_one_line(redis_url: str, tmp_path: Path) -> None:
    # A port that accepts and never answers: the command waits.
    with subprocess.Popen(
        [
            *(sys.executable, "-c"),
            (
                "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
                " print(s.getsockname()[1], flush=True); sys.stdin.read()"
            ),
        ],
        # Closed when the test is over, which ends the program.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as silent:
        assert silent.stdout
        port = silent.stdout.readline().strip()
        (tmp_path / "x.toml").write_text("[redis]\ntimeout = '1m'\n")
        with subprocess.Popen(
            [*RESQUED, "status", "-c", "x.toml", "-r", f"redis://127.0.0.1:{port}"],
            cwd=tmp_path,
            env=clean_environment(),
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            wait_until(lambda: is_connected(command.pid, int(port)))
            command.send_signal(signal.SIGINT)
            _, error = command.communicate(timeout=scaled(30))
        silent.kill()
    assert command.returncode == 130
    assert error.split("\n") == ["", "resqued: interrupted", ""]


def is_connected(pid: int, port: int) -> bool:
    connections = psutil.Process(pid).net_connections("tcp")
    return any(c.raddr and c.raddr.port == port for c in connections)
