"""What the processes of a job use: CPU, and memory that is theirs alone (psutil).

Runs in the master. Memory is the private memory of the whole tree (USS): what the
application had loaded before the fork is not the job's. USS costs the kernel a walk
through all pages, some 7 ms for 1 GB. Two things are cheap, and never less: resident
memory (RSS); and what USS was at the last walk, with all that has been added since,
be it new memory or pages that were shared and are written to, which cost a page
fault each. While one of them is within the limit nobody walks.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from resqued.system import process, procfs

# A look at all processes of the host may take so much of the master's time.
SHARE = 1 / 100
# Nor is it done more often than this: a tree that grows faster is caught later.
_FRESH = 0.25
# So many processes are asked for their children one by one.
SMALL = 50
# What was shared becomes a process's own, too, when the others that had it are gone:
# a walk is good for so many seconds.
_WALK_IS_GOOD = 5.0


def parent(pid: int) -> int | None:
    """Return the pid of a process's parent; None if the process is gone."""
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None


class Memory(NamedTuple):
    """Private bytes; or, if not exact, as many as there can be at the most."""

    size: int
    is_exact: bool


class _UssSample(NamedTuple):
    """What one process had when its pages were walked through."""

    at: float
    private: int
    resident: int
    faults: int


class ProcessTable:
    """Who is whose child, on this host.

    A small tree is asked for at every look, process by process. A large one, or any
    where the kernel does not answer that, is found in the table of all processes,
    which is then no older than it is worth.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        self._taken_at = self._good_until = 0.0
        # How things stood then is what `below` has answered last.
        self.at = 0.0

    def descendants(self, pid: int) -> list[int]:
        """Return all descendants of a process."""
        self.at = time.monotonic()
        found = _small_tree(pid)
        if found is None:
            found = procfs.descendants([pid], self._everybody())
            self.at = self._taken_at
        return sorted(found - {pid})

    def _everybody(self) -> Mapping[int, list[int]]:
        now = time.monotonic()
        if now >= self._good_until:
            self._children = procfs.by_parent(_living())
            taken = time.monotonic() - now
            self._taken_at = now
            self._good_until = now + max(_FRESH, taken / SHARE)
        return self._children


def _living() -> dict[int, procfs.ProcessEntry]:
    entries = procfs.all_processes()
    return {pid: entry for pid, entry in entries.items() if not entry.is_zombie}


def _small_tree(root: int) -> set[int] | None:
    """Return a process and all below it; None if these are many, or cannot be known."""
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        children = procfs.children(pid)
        if children is None or len(found) + len(todo) + len(children) > SMALL:
            return None
        found.add(pid)
        todo += [child for child in children if child not in found]
    return found


class ProcessTree:
    """The processes of one job: its child, and what that has started."""

    def __init__(self, root: psutil.Process, process_table: ProcessTable) -> None:
        self._root = root
        self._process_table = process_table
        self._members: dict[int, psutil.Process] = {root.pid: root}
        self._cpu: dict[int, float] = {}
        self._walks: dict[int, _UssSample] = {}

    @classmethod
    def of(cls, pid: int, process_table: ProcessTable) -> ProcessTree | None:
        """Return the tree below a child; None if that has ended."""
        try:
            return cls(psutil.Process(pid), process_table)
        except psutil.Error:
            return None

    def members(self) -> list[psutil.Process]:
        """Return the processes that are there, as far as the census knows."""
        root = self._root.pid
        pids = [root, *self._process_table.descendants(root)]
        known: Mapping[int, psutil.Process] = self._members
        self._members = {}
        for pid in pids:
            with suppress(psutil.Error):
                self._members[pid] = known.get(pid) or psutil.Process(pid)
        return list(self._members.values())

    def exists(self) -> bool:
        """Return True if the child has not ended; a later one of its pid is another."""
        return bool(self._root.is_running())

    def memory(self, limit: int) -> Memory:
        """Return the private bytes of all, or, if that is within limit, a bound."""
        bound, seen = 0, []
        for member in self.members():
            with suppress(psutil.Error):
                info = member.memory_info()
                seen.append((member, info))
                bound += self._bound(member.pid, info.rss)
        if bound <= limit:
            return Memory(bound, is_exact=False)
        return Memory(sum(self._walk(*pair) for pair in seen), is_exact=True)

    def _bound(self, pid: int, resident: int) -> int:
        walk = self._walks.get(pid)
        if walk is None or time.monotonic() > walk.at + _WALK_IS_GOOD:
            return resident
        grown = max(0, resident - walk.resident)
        written = (process.faults(pid) - walk.faults) * mmap.PAGESIZE
        return min(resident, walk.private + grown + max(0, written))

    def _walk(self, member: psutil.Process, info: Any) -> int:
        faults = process.faults(member.pid)
        private = _private(member, otherwise=info.rss - info.shared)
        self._walks[member.pid] = _UssSample(
            time.monotonic(), private, info.rss, faults
        )
        return private

    def private(self) -> int:
        """Return the private bytes of all."""
        return self.memory(-1).size

    def peak(self) -> int:
        """Return the private bytes of all when each had most.

        What each has now, and by how much its resident memory was larger once:
        the kernel keeps the peak of that alone.
        """
        total = self.private()
        for member in self._members.values():
            with suppress(psutil.Error):
                resident = member.memory_info().rss
                total += max(0, process.peak_resident(member.pid) - resident)
        return total

    def is_small(self) -> bool:
        """Return True if there are few processes, so that measuring takes no time."""
        return _small_tree(self._root.pid) is not None

    @property
    def size(self) -> int:
        """How many processes there were at the last look."""
        return len(self._members)

    def cpu(self) -> float:
        """Return the seconds of CPU that all have used, the dead ones included."""
        for pid, member in list(self._members.items()):
            with suppress(psutil.Error):
                times = member.cpu_times()
                own = times.user + times.system
                waited = times.children_user + times.children_system
                self._cpu[pid] = own + (waited if pid == self._root.pid else 0)
        return sum(self._cpu.values())

    def kill(self) -> None:
        """Kill all of them; those that are forked meanwhile need another call."""
        for member in self.members():
            with suppress(psutil.Error):
                member.kill()


def _private(member: psutil.Process, otherwise: int) -> int:
    """Return the private bytes of one; where they cannot be read, `otherwise`."""
    try:
        return int(member.memory_full_info().uss)
    except psutil.AccessDenied:
        return otherwise
    except psutil.Error:
        return 0


def of_process(pid: int) -> tuple[float, int]:
    """Return CPU seconds and private bytes of one process; zeros if it is gone."""
    with suppress(psutil.Error, OSError):
        found = psutil.Process(pid)
        times = found.cpu_times()
        return times.user + times.system, _private(found, 0)
    return 0.0, 0
