"""Processes in proc(5): their entries, parents and children.

The cost of reading the children of one process depends on their number. The cost of
reading all processes depends on their number on the host, so it is avoided where
possible.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# An application may replace builtins; standard_library copies modules only.
_open = open
_PAGE = 4096
# The links of /proc/pid/task: itself, its parent, and one for each thread.
_ONE_THREAD = 3


class ProcessEntry(NamedTuple):
    """A process: its parent's pid, its start in ticks since boot (proc(5), stat).

    `is_zombie` is True if its main thread has ended. Its other threads may still run.
    """

    parent: int
    start: int
    is_zombie: bool


def read(path: str) -> bytes:
    """Return what a file of proc(5) holds, up to 4,096 bytes; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _PAGE)
    finally:
        os.close(fd)


def resident_pages(pid: int) -> int:
    """Return how many pages of a process are resident; 0 if it is gone."""
    try:
        return _second(read(f"/proc/{pid}/statm"))
    except OSError:
        return 0


def _second(numbers: bytes) -> int:
    return int(numbers.split(None, 2)[1])


class ProcessFiles:
    """The files of a process that are read again and again, a few times a second.

    They are kept open: a reading is then one system call, and of the same process even
    if its pid is reused. While more than half of the descriptors are in use, they are
    opened for each reading, because others need a descriptor more.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        task = f"/proc/{pid}/task"
        self._fds = _kept_open(task, f"{task}/{pid}/children", f"/proc/{pid}/statm")
        self._task, self._children, self._memory = self._fds

    def is_alone(self) -> bool:
        """Return True if it is certain that the process has no children."""
        if self._task < 0:
            return children(self._pid) == []
        try:
            threads = os.fstat(self._task).st_nlink
            return threads == _ONE_THREAD and not os.pread(self._children, 1, 0)
        except OSError:
            return False

    def resident_pages(self) -> int:
        """Return how many pages of the process are resident; 0 if it is gone."""
        if self._memory < 0:
            return resident_pages(self._pid)
        try:
            return _second(os.pread(self._memory, _PAGE, 0))
        except OSError:
            return 0

    def __del__(self) -> None:
        """Close the files."""
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)


def _kept_open(first: str, second: str, third: str) -> tuple[int, int, int]:
    """Return descriptors of files; -1 for all of them if they are not to be kept."""
    fds: list[int] = []
    try:
        for path in (first, second, third):
            fds.append(os.open(path, os.O_RDONLY))
            if fds[-1] > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
                raise OSError(errno.EMFILE, "too many open files")
    except OSError:
        for fd in fds:
            os.close(fd)
        return -1, -1, -1
    return fds[0], fds[1], fds[2]


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/pid/stat from the state on; None without a process.

    Raises PermissionError where /proc hides it (hidepid=1).
    """
    try:
        with _open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses; the state follows the last one.
    return text.rpartition(")")[2].split()


def entry_of(pid: int) -> ProcessEntry | None:
    """Return the entry of a process; None if it has exited or is hidden."""
    with suppress(PermissionError):
        fields = stat_fields(pid)
        if fields is not None:
            return ProcessEntry(int(fields[1]), int(fields[19]), fields[0] in "ZX")
    return None


def children(pid: int) -> list[int] | None:
    """Return the pids of the children of a process, zombies included.

    The list is empty if the process does not exist. Returns None if the kernel does not
    list children (CONFIG_PROC_CHILDREN). A child may be missing from the list while
    others are reaped.
    """
    try:
        if os.stat(f"/proc/{pid}/task").st_nlink == _ONE_THREAD:  # noqa: PTH116 - fast
            text = read(f"/proc/{pid}/task/{pid}/children")
            if len(text) < _PAGE:
                return [int(child) for child in text.split()]
    except OSError:
        pass  # the process is gone, or the kernel does not list children
    return _children_of_threads(pid)


def _children_of_threads(pid: int) -> list[int] | None:
    pids: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names alone
            path = f"/proc/{pid}/task/{task}"
            try:
                with _open(f"{path}/children", "rb") as file:
                    pids += map(int, file.read().split())
            except FileNotFoundError:
                if os.path.exists(path):  # noqa: PTH110 - as above
                    return None
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return pids
    return pids


def descendants(
    roots: Iterable[int], children: Mapping[int, Sequence[int]]
) -> set[int]:
    """Return the pids of these processes and of all their descendants.

    `children` maps a pid to those of its children. It is no atomic snapshot: if a pid
    is used again while it is read, a process can appear as its own ancestor.
    """
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def all_processes() -> dict[int, ProcessEntry]:
    """Return every process of this host, zombies too, by pid.

    Processes of other users are missing where /proc hides them (hidepid).
    """
    names = os.listdir("/proc")  # noqa: PTH208 - names alone, and fast
    entries = ((pid, entry_of(pid)) for pid in map(int, filter(str.isdigit, names)))
    return {pid: entry for pid, entry in entries if entry is not None}


def by_parent(entries: Mapping[int, ProcessEntry]) -> dict[int, list[int]]:
    """Return the pids of the children, by the pid of their parent."""
    found: dict[int, list[int]] = {}
    for pid, entry in entries.items():
        found.setdefault(entry.parent, []).append(pid)
    return found


def command_line(pid: int) -> bytes:
    """Return the arguments of a process, separated by NUL; b"" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
