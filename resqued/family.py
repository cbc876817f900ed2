"""The processes of a job, found and ended together.

Apart from process.py because psutil comes with it, which no worker needs until a
job has to be ended, and every fork would copy.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from contextlib import suppress

import psutil

from resqued.process import send_group, start_time


class Family:
    """A job's processes, whatever became of their parents: to be ended together.

    This process is a subreaper, so whoever lost its parent is its child by now.
    Those that began before `since` belong to somebody else, and so do those that
    `spared` names, with their descendants; as long as it answers None, a child
    that is to be spared has not made itself known, and nobody new is taken in.
    Held by pid and start time (psutil), so that a pid used again is not hit.
    """

    def __init__(
        self, root: int, *, spared: Callable[[], Collection[int] | None], since: int
    ) -> None:
        self._root = root
        self._spared = spared
        # A tick of slack: the clock is read apart from the kernel's stamp.
        self._since = since - 1
        self._members: set[psutil.Process] = set()
        self._is_complete = False

    def refresh(self) -> None:
        """Take in the processes that have appeared since."""
        spared = self._spared()
        self._is_complete = spared is not None
        if spared is None:
            return
        with suppress(psutil.Error):
            for child in psutil.Process().children():
                if child.pid not in spared:
                    self._add(child)

    def _add(self, child: psutil.Process) -> None:
        began = start_time(child.pid)
        if child.pid != self._root and (began is None or began < self._since):
            return
        self._members.add(child)
        with suppress(psutil.Error):
            self._members.update(child.children(recursive=True))

    def has_members(self) -> bool:
        """Say whether any of them still runs, as far as can be known."""
        self.refresh()
        self._members = {
            p for p in self._members if start_time(p.pid) and p.is_running()
        }
        return bool(self._members) or not self._is_complete

    def send(self, signum: signal.Signals) -> None:
        """Signal the child's group, then whoever has left it."""
        self.refresh()
        send_group(self._root, signum)
        for member in self._members:
            with suppress(psutil.Error):
                member.send_signal(signum)
