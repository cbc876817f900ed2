"""Processes in proc(5): their entries, parents and children.

The cost of reading the children of one process depends on their number. The cost of
reading all processes depends on their number on the host, so it is avoided where
possible.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# An application may replace builtins; standard_library copies modules only.
_open = open


class ProcessEntry(NamedTuple):
    """A process: its parent's pid, its start in ticks since boot (proc(5), stat).

    `is_zombie` is True if its main thread has ended. Its other threads may still run.
    """

    parent: int
    start: int
    is_zombie: bool


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
