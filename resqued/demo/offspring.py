"""The descendants of this process, including those whose parents have died.

This process becomes a subreaper: it adopts orphans, so that they stay its descendants
until they are gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from resqued.system import prctl

_TICK = 0.02


class Descendants:
    """The descendants that start from now on, without those of existing children."""

    def __init__(self) -> None:
        prctl.become_subreaper()
        self._excluded = set(psutil.Process().children())

    def living(self) -> list[psutil.Process]:
        """Return the descendants that run now, and reap the dead ones."""
        while True:
            seen = self._seen()
            living = [one for one in seen if _is_alive(one)]
            # A process that dies during the scan may have children that were listed
            # neither as its own any more nor as ours yet: scan again.
            if living or not seen:
                return living

    def _seen(self) -> list[psutil.Process]:
        """Return the descendants, including those that have just died."""
        seen = []
        for child in psutil.Process().children():
            if child not in self._excluded:
                seen.append(child)
                with suppress(psutil.NoSuchProcess):
                    seen += child.children(recursive=True)
                _reap(child)
        return seen

    def wait(self, seconds: float, tick: Callable[[], None]) -> list[psutil.Process]:
        """Wait up to some seconds until all have ended; return those that still run."""
        deadline = time.monotonic() + seconds
        while (remaining := self.living()) and time.monotonic() < deadline:
            tick()
            time.sleep(_TICK)
        return remaining

    def kill(self, patience: float = 10.0) -> list[psutil.Process]:
        """Kill all descendants, and those that they fork meanwhile.

        Returns those that still run after `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while (remaining := self.living()) and time.monotonic() < deadline:
            for one in remaining:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            time.sleep(_TICK)
        return remaining


def describe(one: psutil.Process) -> str:
    """Return the pid and the command of a process; only the pid if it is gone."""
    with suppress(psutil.Error):
        # A title is padded with blanks to the length of the former arguments.
        return f"{one.pid} {' '.join(one.cmdline()).strip() or one.name()}"
    return str(one.pid)


def _is_alive(one: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(one.status() != psutil.STATUS_ZOMBIE) and one.is_running()
    return False


def _reap(child: psutil.Process) -> None:
    """Reap a child if it is dead."""
    # Other code may have reaped it before, such as its Popen.
    with suppress(ChildProcessError):
        if not _is_alive(child):
            os.waitpid(child.pid, os.WNOHANG)
