"""The search for the processes of a job, and signals to all of them.

Used by a worker, and by the master for a worker that has died. Both are subreapers: a
process that a job starts stays a descendant of the child, or becomes a child of theirs.
So they search their own descendants, and the cost depends on the job's processes only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from resqued.system import process, procfs

# How often to search for new processes, which may be forked while others are stopped.
ROUNDS = 10
# A part of the command lines of resource trackers, of multiprocessing and joblib. They
# remove the files of a job in /dev/shm when its other processes have exited.
_TRACKER = b"resource_tracker import main"


class JobProcesses:
    """The processes of one job, including those whose parents have died.

    This process must be a subreaper, so that orphans become its children, and must not
    reap them while a method of this class runs. `root` is the pid of the child that
    runs the job. Processes that started before `since` (ticks since boot) do not belong
    to the job, nor do those in `excluded`, nor descendants of either. While `excluded`
    returns None, a child to be excluded is not known yet, and no process is added.
    Processes are identified by pid and start time, so that a process that reuses a pid
    is not signalled. `tracker_patience` is for how many seconds after the first kill a
    resource tracker is spared: it ends by itself when it has removed the files of the
    job.
    """

    def __init__(
        self,
        root: int,
        *,
        excluded: Callable[[], Collection[int] | None],
        since: int,
        tracker_patience: float,
    ) -> None:
        self._root = root
        self._excluded = excluded
        # One tick less: the caller's clock is not read at the time of the fork.
        self._since = since - 1
        self._members: dict[int, int] = {}
        self._is_over = False
        self._tracker_patience = tracker_patience
        self._spare_until: float | None = None

    def refresh(self) -> None:
        """Search for processes of the job: add new ones, and remove dead ones."""
        excluded = self._excluded()
        if excluded is None:
            self._is_over = False
            self._members = {
                pid: start
                for pid, start in self._members.items()
                if (entry := procfs.entry_of(pid)) is not None and entry.start == start
            }
            return
        ours = procfs.children(os.getpid())
        if ours is None:
            table = procfs.all_processes()
            children = procfs.by_parent(table)
            ours = children.get(os.getpid(), [])
            self._follow(ours, excluded, lambda pid: children.get(pid, ()), table.get)
        else:
            self._follow(
                ours, excluded, lambda pid: procfs.children(pid) or (), procfs.entry_of
            )

    def _follow(
        self,
        ours: Sequence[int],
        excluded: Collection[int],
        children_of: Callable[[int], Sequence[int]],
        entry_of: Callable[[int], procfs.ProcessEntry | None],
    ) -> None:
        """Find the job's processes among the descendants of this process."""
        members: dict[int, int] = {}
        todo: list[int] = []
        for pid in ours:
            if pid in excluded or (entry := entry_of(pid)) is None:
                continue
            if pid == self._root or entry.start >= self._since:
                members[pid] = entry.start
                todo += children_of(pid)
        # The last process of a job becomes a child of this one when its parent dies,
        # and stays one until it is reaped here. So the job is over if no such child
        # exists, not even a zombie. A search that finds only zombies does not prove
        # that: their children may have appeared after the search.
        self._is_over = not members
        while todo:
            pid = todo.pop()
            if pid not in members and (entry := entry_of(pid)) is not None:
                if not entry.is_zombie:
                    members[pid] = entry.start
                todo += children_of(pid)
        self._members = members

    def members(self) -> Collection[tuple[int, int]]:
        """Return the processes of the last refresh, each as its pid and start time."""
        return self._members.items()

    def has_members(self) -> bool:
        """Search again; return True unless it is certain that no process is left."""
        self.refresh()
        return not self._is_over

    def send(self, signum: signal.Signals) -> None:
        """Search again, and send a signal to each process once."""
        self.refresh()
        for pid, start in self._members.items():
            self._send(pid, start, signum)

    def kill(self) -> None:
        """Send SIGKILL to each process, including those that are forked meanwhile.

        All are stopped before the first is killed, because killed processes would make
        room for new ones. A resource tracker is spared for its time. Processes that
        fork and exit at once may escape: call this again while `has_members` is True.
        """
        now = time.monotonic()
        if self._spare_until is None:
            self._spare_until = now + self._tracker_patience
        stopped: dict[int, int] = {}
        spared: set[tuple[int, int]] = set()
        for _ in range(ROUNDS):
            self.refresh()
            new = self._members.items() - stopped.items() - spared
            if now < self._spare_until:
                trackers = {(pid, start) for pid, start in new if _is_tracker(pid)}
                spared |= trackers
                new -= trackers
            if not new:
                break
            for pid, start in new:
                self._send(pid, start, signal.SIGSTOP)
            stopped |= new
        if not spared:
            process.send_group(self._root, signal.SIGKILL)
        for pid, start in stopped.items():
            self._send(pid, start, signal.SIGKILL)

    def _send(self, pid: int, start: int, signum: signal.Signals) -> None:
        entry = procfs.entry_of(pid)
        if entry is None or entry.start != start:
            return
        if pid == self._root:
            # Python runs handlers in the main thread, so that must be interrupted.
            process.send_main_thread(pid, signum)
            return
        # A process of another user (sudo) cannot be signalled.
        with suppress(PermissionError):
            process.send(pid, signum)


def _is_tracker(pid: int) -> bool:
    return _TRACKER in procfs.command_line(pid)
