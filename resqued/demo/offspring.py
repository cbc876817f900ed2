"""The processes that this one brings forth, whatever became of their parents.

As a subreaper, this process is the parent of whoever has lost its own: each of
them is its descendant until it is gone.
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
    """All descendants from now on, but those of children that exist already."""

    def __init__(self) -> None:
        prctl.become_subreaper()
        self._excluded = set(psutil.Process().children())

    def living(self) -> list[psutil.Process]:
        """Return those that live now; whoever died is reaped on the way."""
        while True:
            seen = self._seen()
            living = [one for one in seen if _is_alive(one)]
            # Whoever dies while we look may have children that were listed
            # neither as its own any more nor as ours yet: look again.
            if living or not seen:
                return living

    def _seen(self) -> list[psutil.Process]:
        """Return the descendants, those included that have died just now."""
        seen = []
        for child in psutil.Process().children():
            if child not in self._excluded:
                seen.append(child)
                with suppress(psutil.NoSuchProcess):
                    seen += child.children(recursive=True)
                _reap(child)
        return seen

    def wait(self, seconds: float, tick: Callable[[], None]) -> list[psutil.Process]:
        """Return those that are still alive after so long, if any."""
        deadline = time.monotonic() + seconds
        while (left := self.living()) and time.monotonic() < deadline:
            tick()
            time.sleep(_TICK)
        return left

    def kill(self, patience: float = 10.0) -> list[psutil.Process]:
        """Kill them all, again until none appears; return those that resist."""
        deadline = time.monotonic() + patience
        while (left := self.living()) and time.monotonic() < deadline:
            for one in left:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            time.sleep(_TICK)
        return left


def describe(one: psutil.Process) -> str:
    """Return pid and command of a process, as far as it still tells."""
    with suppress(psutil.Error):
        # Whoever sets a title leaves blanks where its arguments were.
        return f"{one.pid} {' '.join(one.cmdline()).strip() or one.name()}"
    return str(one.pid)


def _is_alive(one: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(one.status() != psutil.STATUS_ZOMBIE) and one.is_running()
    return False


def _reap(child: psutil.Process) -> None:
    """Collect a child if it is dead; one that lives is left alone."""
    # Somebody else waits for it, such as a Popen, who copes with this.
    with suppress(ChildProcessError):
        if not _is_alive(child):
            os.waitpid(child.pid, os.WNOHANG)
