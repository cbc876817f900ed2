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

from resqued import process

_TICK = 0.02


class Offspring:
    """All descendants from now on, but those of children that exist already."""

    def __init__(self) -> None:
        process.become_subreaper()
        self._spared = set(psutil.Process().children())

    def living(self) -> list[psutil.Process]:
        """Return those that live now; whoever died is reaped on the way."""
        found = []
        for child in psutil.Process().children():
            if child in self._spared or _is_reaped(child):
                continue
            with suppress(psutil.NoSuchProcess):
                found += [child, *child.children(recursive=True)]
        return [one for one in found if _is_alive(one)]

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
        return f"{one.pid} {' '.join(one.cmdline()) or one.name()}"
    return str(one.pid)


def _is_alive(one: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(one.status() != psutil.STATUS_ZOMBIE) and one.is_running()
    return False


def _is_reaped(child: psutil.Process) -> bool:
    if _is_alive(child):
        return False
    with suppress(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
    return True
