"""The processes of a job, found and ended together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from resqued.system import process

# A family may grow while it is being killed: how often to look for the newborn.
ROUNDS = 10


class JobProcesses:
    """A job's processes, whatever became of their parents: to be ended together.

    This process is a subreaper, so whoever lost its parent is its child by now.
    Those that began before `since` belong to somebody else, and so do those that
    `excluded` names, with their descendants; as long as it answers None, a child
    that is to be excluded has not made itself known, and nobody new is taken in.
    Held by pid and start time, so that a pid used again is not hit.
    """

    def __init__(
        self, root: int, *, excluded: Callable[[], Collection[int] | None], since: int
    ) -> None:
        self._root = root
        self._excluded = excluded
        # A tick of slack: the clock is read apart from the kernel's stamp.
        self._since = since - 1
        self._members: dict[int, int] = {}
        self._is_complete = False

    def refresh(self) -> None:
        """Take in the processes that have appeared since, and forget the dead."""
        excluded = self._excluded()
        self._is_complete = excluded is not None
        all_processes = process.all_processes()
        self._members = {
            pid: start
            for pid, start in self._members.items()
            if pid in all_processes and all_processes[pid].start == start
        }
        if excluded is None:
            return
        children = process.by_parent(all_processes)
        ours = (
            pid
            for pid in children.get(os.getpid(), ())
            if pid not in excluded and self._is_ours(pid, all_processes[pid].start)
        )
        found = process.descendants(ours, children)
        self._members |= {pid: all_processes[pid].start for pid in found}

    def _is_ours(self, pid: int, start: int) -> bool:
        return pid == self._root or start >= self._since

    def __len__(self) -> int:
        """How many there were at the last look."""
        return len(self._members)

    def has_members(self) -> bool:
        """Say whether any of them still runs, as far as can be known."""
        self.refresh()
        return bool(self._members) or not self._is_complete

    def send(self, signum: signal.Signals) -> None:
        """Signal each of them, once; with SIGKILL, the newborn as well."""
        told: dict[int, int] = {}
        for _ in range(ROUNDS):
            self.refresh()
            if signum == signal.SIGKILL:
                process.send_group(self._root, signum)
            for pid, start in self._members.items() - told.items():
                self._send(pid, start, signum)
            is_complete = self._members.items() <= told.items()
            told |= self._members
            if is_complete or signum != signal.SIGKILL:
                return

    def _send(self, pid: int, start: int, signum: signal.Signals) -> None:
        if process.start_time(pid) != start:
            return
        if pid == self._root:
            # Python runs handlers in its main thread: only that must be woken.
            process.send_main_thread(pid, signum)
            return
        # One that runs as another user (sudo) is not ours to signal.
        with suppress(PermissionError):
            process.send(pid, signum)
