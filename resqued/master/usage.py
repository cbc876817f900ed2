"""The CPU time and the private memory that the processes of a job use (psutil).

Runs in the master. Memory is the private memory of the whole tree (USS): memory that
the application had loaded before the fork is not counted. To know USS the kernel walks
through all pages, about 7 ms for 1 GB. Two upper bounds of USS are cheap. One is the
resident memory (RSS). The other is USS at the last walk plus all growth since: new
memory, and shared pages that were written to, which cost one page fault each. While
one of the bounds is within the limit, no walk is made.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

import psutil

from resqued.system import process, procfs

# The share of the master's time for reading the table of all processes.
SHARE = 1 / 100
# The least time between two readings of the table, in seconds. Processes that appear
# faster are found at the next reading.
_FRESH = 0.25
# The most processes that are asked for their children one by one.
SMALL = 50
# How long a walk is used, in seconds: shared memory also becomes private when the
# other processes that share it exit, which costs no page fault.
_WALK_IS_GOOD = 5.0


def parent(pid: int) -> int | None:
    """Return the pid of a process's parent; None if the process does not exist."""
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None


class Memory(NamedTuple):
    """The private bytes, or an upper bound of them if `is_exact` is False."""

    size: int
    is_exact: bool


class _UssSample(NamedTuple):
    """The memory (bytes) and page faults of one process at a walk through its pages."""

    at: float
    private: int
    resident: int
    faults: int


class ProcessTable:
    """The descendants of processes of this host.

    A small tree is read at every call, process by process. A large tree, or any tree
    where the kernel does not list children, is found in the table of all processes.
    The table is kept so long that reading it takes at most SHARE of the time.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        self._taken_at = self._good_until = 0.0
        # The time for which the last result of `descendants` was true.
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
    """Return a process and its descendants; None if too many, or not known."""
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
    """The processes of one job: the child and its descendants."""

    def __init__(self, root: psutil.Process, process_table: ProcessTable) -> None:
        self._root = root
        self._process_table = process_table
        self._members: dict[int, psutil.Process] = {root.pid: root}
        self._cpu: dict[int, float] = {}
        self._walks: dict[int, _UssSample] = {}

    @classmethod
    def of(cls, pid: int, process_table: ProcessTable) -> ProcessTree | None:
        """Return the tree of a child; None if the child has ended."""
        try:
            return cls(psutil.Process(pid), process_table)
        except psutil.Error:
            return None

    @cached_property
    def _files(self) -> procfs.ProcessFiles:
        # Opened at the first measurement: a job without a memory limit has none.
        return procfs.ProcessFiles(self._root.pid)

    def members(self) -> list[psutil.Process]:
        """Return the existing processes of the tree, as far as the table shows them."""
        root = self._root.pid
        if self._files.is_alone():
            self._members = {root: self._root}
            return [self._root]
        pids = [root, *self._process_table.descendants(root)]
        known: Mapping[int, psutil.Process] = self._members
        self._members = {}
        for pid in pids:
            with suppress(psutil.Error):
                self._members[pid] = known.get(pid) or psutil.Process(pid)
        return list(self._members.values())

    def exists(self) -> bool:
        """Return True if the child has not ended; a reused pid does not count."""
        return bool(self._root.is_running())

    def memory(self, limit: int) -> Memory:
        """Return the private bytes of the tree, or a bound that is within `limit`."""
        members = self.members()
        bound = sum(self._bound(member.pid) for member in members)
        if bound <= limit:
            return Memory(bound, is_exact=False)
        return Memory(sum(map(self._walk, members)), is_exact=True)

    def _bound(self, pid: int) -> int:
        is_root = pid == self._root.pid
        pages = self._files.resident_pages() if is_root else procfs.resident_pages(pid)
        resident = pages * mmap.PAGESIZE
        walk = self._walks.get(pid)
        if walk is None or time.monotonic() > walk.at + _WALK_IS_GOOD:
            return resident
        grown = max(0, resident - walk.resident)
        written = (process.faults(pid) - walk.faults) * mmap.PAGESIZE
        return min(resident, walk.private + grown + max(0, written))

    def _walk(self, member: psutil.Process) -> int:
        try:
            info = member.memory_info()
        except psutil.Error:
            return 0
        faults = process.faults(member.pid)
        private = _private(member, otherwise=info.rss - info.shared)
        self._walks[member.pid] = _UssSample(
            time.monotonic(), private, info.rss, faults
        )
        return private

    def private(self) -> int:
        """Return the private bytes of the tree."""
        return self.memory(-1).size

    def peak(self) -> int:
        """Return the sum of the largest private memory of each process, in bytes.

        That is its present private memory, plus the difference between the peak of its
        resident memory and the present one: the kernel keeps no other peak.
        """
        total = self.private()
        for member in self._members.values():
            with suppress(psutil.Error):
                resident = member.memory_info().rss
                total += max(0, process.peak_resident(member.pid) - resident)
        return total

    def is_small(self) -> bool:
        """Return True if the tree has few processes, so that measuring is fast."""
        return _small_tree(self._root.pid) is not None

    @property
    def size(self) -> int:
        """The number of processes at the last call of `members`."""
        return len(self._members)

    def cpu(self) -> float:
        """Return the CPU seconds that all processes have used, dead ones included."""
        for pid, member in list(self._members.items()):
            with suppress(psutil.Error):
                times = member.cpu_times()
                own = times.user + times.system
                waited = times.children_user + times.children_system
                self._cpu[pid] = own + (waited if pid == self._root.pid else 0)
        return sum(self._cpu.values())

    def kill(self) -> None:
        """Kill all processes; those that are forked meanwhile need another call."""
        for member in self.members():
            with suppress(psutil.Error):
                member.kill()


def _private(member: psutil.Process, otherwise: int) -> int:
    """Return the private bytes of a process, or `otherwise` if access is denied."""
    try:
        return int(member.memory_full_info().uss)
    except psutil.AccessDenied:
        return otherwise
    except psutil.Error:
        return 0


def of_process(pid: int) -> tuple[float, int]:
    """Return CPU seconds and private bytes of a process; zeros if it does not exist."""
    with suppress(psutil.Error, OSError):
        found = psutil.Process(pid)
        times = found.cpu_times()
        return times.user + times.system, _private(found, 0)
    return 0.0, 0
