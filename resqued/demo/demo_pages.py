"""The web front end of the demo: `resqued web` as a subprocess, and its address."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resqued.demo import NAMESPACE, DemoError
from resqued.demo.demo_master import clean_environment
from resqued.demo.workspace import Workspace
from resqued.system import prctl

# Where `resqued web` listens too; another port, if this one is taken.
_PORT = 5678
_START_DEADLINE = 30.0
_LEAVE_DEADLINE = 5.0


class DemoPages:
    """A process that serves the pages of the demo's namespace."""

    def __init__(self, url: str, workspace: Workspace, port: int) -> None:
        me = os.getpid()
        self._log = workspace.web_log
        words = ("web", "--namespace", NAMESPACE, "--listen", f"127.0.0.1:{port}")
        # To a file: nobody reads a pipe while the demo runs, and a full one would stop
        # the pages.
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "resqued", *words],
                cwd=workspace.path,
                # The URL has a password, and arguments are for all to see.
                env={**clean_environment(), "RESQUED_REDIS_URL": url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=lambda: prctl.die_with_parent(me),  # noqa: PLW1509
            )
        self.address = self._read_address()

    def _read_address(self) -> str:
        """Return the address that the process prints when it listens, or ""."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_DEADLINE)
        line = self._process.stdout.readline() if ready else ""
        return line.partition(": ")[2].strip()

    def must_run(self) -> None:
        """Raise DemoError, with the reason, if the process serves no pages."""
        if not self.address or self._process.poll() is not None:
            reason = last_line(self._log)
            what = "has ended" if self.address else "does not start"
            raise DemoError(f"the web front end {what}: {reason or 'no reason given'}")

    def end(self) -> None:
        """End the process, and wait for its end."""
        with self._process as process:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_DEADLINE)
            process.kill()


def last_line(log: Path) -> str:
    """Return the last line of a log, or ""."""
    return log.read_text(errors="replace").strip().rpartition("\n")[2]


@contextmanager
def serving(url: str, workspace: Workspace) -> Iterator[DemoPages]:
    """Serve the pages of the demo's namespace.

    Raises DemoError if they cannot be served, with the reason.
    """
    pages = DemoPages(url, workspace, _PORT)
    if not pages.address:
        pages.end()
        pages = DemoPages(url, workspace, 0)
    try:
        pages.must_run()
        yield pages
    finally:
        pages.end()
