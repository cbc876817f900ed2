"""The processes of a job, found and signalled together.

Used by workers, which are subreapers, and never by the master.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from resqued.system import process

# Processes may be forked while others are killed: how often to look for new ones.
ROUNDS = 10


class JobProcesses:
    """The processes of one job, including those whose parents have died.

    This process must be a subreaper, so that orphans become its children. `root` is
    the pid of the child that runs the job. Processes that started before `since`
    (ticks since boot) do not belong to the job, nor do those in `excluded`, nor
    descendants of either. While `excluded` returns None, a child to be excluded is
    not known yet, and no process is added. Processes are identified by pid and start
    time, so that a process that reuses a pid is not signalled.
    """

    def __init__(
        self, root: int, *, excluded: Callable[[], Collection[int] | None], since: int
    ) -> None:
        self._root = root
        self._excluded = excluded
        # One tick less: the caller's clock is not read at the time of the fork.
        self._since = since - 1
        self._members: dict[int, int] = {}
        self._is_complete = False

    def refresh(self) -> None:
        """Add the processes that have appeared, and remove the dead ones."""
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
        roots = (
            pid
            for pid in children.get(os.getpid(), ())
            if pid not in excluded and self._is_ours(pid, all_processes[pid].start)
        )
        members = process.descendants(roots, children)
        self._members |= {pid: all_processes[pid].start for pid in members}

    def _is_ours(self, pid: int, start: int) -> bool:
        return pid == self._root or start >= self._since

    def __len__(self) -> int:
        """Return how many processes there were at the last refresh."""
        return len(self._members)

    def has_members(self) -> bool:
        """Return True if any of them still runs, or if that cannot be known yet."""
        self.refresh()
        return bool(self._members) or not self._is_complete

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to each of them once.

        With SIGKILL, processes that are forked meanwhile get it too.
        """
        signalled: dict[int, int] = {}
        for _ in range(ROUNDS):
            self.refresh()
            if signum == signal.SIGKILL:
                process.send_group(self._root, signum)
            for pid, start in self._members.items() - signalled.items():
                self._send(pid, start, signum)
            is_complete = self._members.items() <= signalled.items()
            signalled |= self._members
            if is_complete or signum != signal.SIGKILL:
                return

    def _send(self, pid: int, start: int, signum: signal.Signals) -> None:
        if process.start_time(pid) != start:
            return
        if pid == self._root:
            # Python runs handlers in the main thread, so that must be interrupted.
            process.send_main_thread(pid, signum)
            return
        # A process of another user (sudo) cannot be signalled.
        with suppress(PermissionError):
            process.send(pid, signum)
