"""The web front end of the demo: `resqued web` as a subprocess, and its address."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from resqued.demo import NAMESPACE, DemoError
from resqued.demo.demo_master import clean_environment
from resqued.demo.workspace import Workspace
from resqued.system import prctl

# Where `resqued web` listens too; another port, if this one is taken.
_PORT = 5678
_START_DEADLINE = 30.0
_LEAVE_DEADLINE = 5.0


@contextmanager
def serving(url: str, workspace: Workspace) -> Iterator[str]:
    """Serve the pages of the demo's namespace, and yield their address.

    Raises DemoError if they cannot be served, with the reason.
    """
    me = os.getpid()
    words = ("web", "--namespace", NAMESPACE, "--listen", f"127.0.0.1:{_free_port()}")
    process = subprocess.Popen(
        [sys.executable, "-m", "resqued", *words],
        cwd=workspace.path,
        # The URL has a password, and arguments are for all to see.
        env={**clean_environment(), "RESQUED_REDIS_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: prctl.die_with_parent(me),  # noqa: PLW1509
    )
    try:
        yield _address(process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVE_DEADLINE)
        process.kill()
        process.wait()


def _free_port() -> int:
    for port in (_PORT, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as found:
            return int(found.getsockname()[1])
    raise DemoError("no port of 127.0.0.1 is free for the web front end")


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address that the process prints when it listens."""
    assert process.stdout is not None
    assert process.stderr is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_DEADLINE)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        reason = process.stderr.read().strip().rpartition("\n")[2]
        raise DemoError(f"the web front end does not start: {reason or 'no answer'}")
    return line.partition(": ")[2].strip()
