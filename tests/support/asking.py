"""A pool whose master can be asked through its control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import scaled


def socket_of(daemon: Daemon) -> Path:
    """Return the path of the control socket of a `controlled` daemon."""
    return daemon.cwd / "run" / f"{daemon.pid}.sock"


def controlled(url: str, tmp_path: Path, *args: str, **options: Any) -> Daemon:
    """Return a daemon with a control directory of its own; enter it to start it."""
    env = {"RUNTIME_DIRECTORY": str(tmp_path / "run"), **options.pop("env", {})}
    return pool(url, tmp_path, *args, env=env, **options)


@contextmanager
def running(url: str, tmp_path: Path, *args: str, **options: Any) -> Iterator[Daemon]:
    """Run a controlled daemon, from when it is ready."""
    with controlled(url, tmp_path, *args, **options) as daemon:
        daemon.wait_for_event("master_ready")
        yield daemon


def ask(daemon: Daemon, **request: Any) -> dict[str, Any]:
    """Ask the daemon's master; return the last line of its answer."""
    return ask_at(socket_of(daemon), **request)


def ask_at(path: Path, **request: Any) -> dict[str, Any]:
    """Ask the master that listens at a path; return the last line of its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(scaled(60))
        sock.connect(str(path))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as file:
            lines = file.read().splitlines()
    assert lines, "the master hung up"
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
