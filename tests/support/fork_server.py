"""Processes of the resqued command that are forked, and not started by exec.

Python and the imports of resqued take a third of a second of processor time, which is
more than most tests need for themselves. A fork server, one for each process of
pytest, has done the imports; what it forks has the arguments, environment, directory,
streams and session of its own, is a child of pytest, and runs `resqued/__main__.py`
from its first line to the end of the interpreter. Zygotes, which a master starts by
exec, start as they always do.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from resqued.system import prctl, process_title

# Beside `python -m resqued work`, those of whose processes the tests start many.
COMMANDS = ("control", "daemon", "enqueue", "failed", "queues", "stats", "status")
IMPORTED = (
    *("resqued.cli.work", "resqued.supervisor"),
    *(f"resqued.cli.{name}" for name in COMMANDS),
)
COMMAND = (sys.executable, "-m", "resqued")
ROOT = Path(__file__).parents[2]
# What the interpreter and the C library read when they start.
AT_START = ("PYTHON", "LC_", "LD_", "LANG", "TZ", "MALLOC_", "GLIBC_", "COVERAGE_")
# A title is written over the arguments and the environment of its process.
TITLE_ROOM = 2_000
# The longest request, in bytes: arguments and environment.
LONGEST = 1 << 20


class ForkedProcess:
    """A process of a fork server: what subprocess.Popen has, as far as it is used."""

    def __init__(self, pid: int, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = args
        self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when it has ended; raise subprocess.TimeoutExpired."""
        try:
            status = self._process.wait(timeout)
        except psutil.TimeoutExpired as error:
            raise subprocess.TimeoutExpired(self.args, error.seconds) from None
        assert status is not None, f"{self.pid} is no child of this process"
        return int(status)

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless its end has been seen."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Forks processes of resqued as children of this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = at_start(env)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    __name__,
                    str(theirs.fileno()),
                    " " * TITLE_ROOM,
                ],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the server; what it has forked goes on."""
        self._socket.close()
        self._process.wait()

    def serves(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Say whether a process of it is as one that is started by exec."""
        return tuple(command[:3]) == COMMAND and at_start(env) == self._env

    def fork(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: Sequence[int],
        new_session: bool = False,
    ) -> ForkedProcess:
        """Start a command with the descriptors of its three streams."""
        mask = os.umask(0)
        os.umask(mask)
        request = {
            "args": command[3:],
            "cwd": str(cwd),
            "env": dict(env),
            "new_session": new_session,
            "umask": mask,
        }
        # What the server forks is this process's when the process between has ended.
        with self._lock:
            prctl.become_subreaper()
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
                reply = self._socket.recv(64)
            finally:
                prctl.undo()
        assert reply, "the fork server has ended"
        return ForkedProcess(int(reply), command)


def at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment matters to an interpreter that starts."""
    return {name: value for name, value in env.items() if name.startswith(AT_START)}


_servers: list[ForkServer] = []


def fork_server(env: Mapping[str, str]) -> ForkServer:
    """Return the server of this process, started when it is first asked for."""
    if not _servers:
        _servers.append(ForkServer(env))
        atexit.register(_servers[0].close)
    return _servers[0]


def main(fd: int) -> None:
    """Fork for each request; return in the forked process, with the request applied."""
    for name in IMPORTED:
        import_module(name)
    # What is forked has another environment, by which the place of a title is found.
    process_title.set_title("resqued fork server")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=fd) as requests:
        while True:
            message, streams, _, _ = socket.recv_fds(requests, LONGEST, 3)
            if not message:
                os._exit(0)
            if _forked(requests):
                break
            for each in streams:
                os.close(each)
    _become(json.loads(message), streams)


def _forked(requests: socket.socket) -> bool:
    """Fork twice and answer the pid; return True in the second process.

    That has then got its parent, for the process between the two has ended.
    """
    report, reported = os.pipe()
    gate, leave = os.pipe()
    between = os.fork()
    if not between:
        os.close(leave)
        pid = os.fork()
        if pid:
            os.write(reported, str(pid).encode())
            os._exit(0)
        os.read(gate, 1)
        for end in (report, reported, gate):
            os.close(end)
        return True
    os.waitpid(between, 0)
    requests.send(os.read(report, 64))
    for end in (report, reported, gate, leave):
        os.close(end)
    return False


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Give this process what it would have after an exec of the command."""
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    if request["new_session"]:
        os.setsid()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.orig_argv = [*COMMAND, *request["args"]]
    sys.argv = ["-m", *request["args"]]
    # `python -m` looks for modules in its directory first.
    sys.path[0] = request["cwd"]
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, errors=like.errors, closefd=False)  # noqa: SIM115
        for number, mode, like in (
            (0, "r", sys.stdin),
            (1, "w", sys.stdout),
            (2, "w", sys.stderr),
        )
    )
    sys.stderr.reconfigure(line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    runpy.run_module("resqued", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
