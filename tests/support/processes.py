"""Watching processes: those that a program of a test has started, and any other.

One look at the table of all processes costs as much as reading a line for each;
psutil looks through all of it for the children of one. The test is no subreaper
instead, for it would have to reap: a command that waits for the end of a daemon would
wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

_PROC = Path("/proc")
# Of a process that is over, though its parent has not taken notice.
_DEAD = "ZX"


class Entry(NamedTuple):
    """A row of the table; `began` tells processes of the same pid apart."""

    pid: int
    state: str
    parent: int
    session: int
    began: int

    def is_alive(self) -> bool:
        return self.state not in _DEAD


def table() -> dict[int, Entry]:
    """Return every process of this machine, dead ones that wait included."""
    return {entry.pid: entry for entry in _entries()}


def _entries() -> Iterator[Entry]:
    for pid in psutil.pids():
        if entry := entry_of(pid):
            yield entry


def entry_of(pid: int) -> Entry | None:
    """Return the row of a process; None if there is none."""
    try:
        # Not by a file object, which costs more than the reading.
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            row = os.read(fd, 1024)
        finally:
            os.close(fd)
    except OSError:
        return None
    # The name stands in parentheses, and may have any others in it.
    fields = row.rpartition(b")")[2].split()
    return Entry(
        pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19])
    )


class JobProcesses:
    """All processes that a program has started, also those that have left it.

    A process is of the family if it descends from one that is, if it is in one of the
    sessions, if its environment has the mark, or if it works in the place. A title may
    overwrite the mark, and an orphan has another parent: so each is asked for.
    """

    def __init__(self, name: str, value: str, place: Path | None = None) -> None:
        self.mark = f"{name}={value}"
        self.sessions: set[int] = set()
        self._place = place
        self._ours: dict[int, int] = {}
        # An environment does not change, so each is read once.
        self._others: dict[int, int] = {}

    def alive(self) -> list[psutil.Process]:
        """Return those that live."""
        found = []
        for pid in self.pids():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def pids(self) -> list[int]:
        """Return the pids of those that live."""
        now = table()
        self._ours = _those_still_there(self._ours, now)
        self._others = _those_still_there(self._others, now)
        for entry in now.values():
            if entry.is_alive() and entry.pid not in self._ours and self._has(entry):
                self._ours[entry.pid] = entry.began
        _add_descendants(self._ours, now.values())
        return sorted(self._ours)

    def children(self, pid: int) -> list[int]:
        """Return the pids of the children of a process of the family that live."""
        found = [each for each in _entries() if each.parent == pid and each.is_alive()]
        self._ours.update({each.pid: each.began for each in found})
        return sorted(each.pid for each in found)

    def descendants(self, pid: int) -> list[int]:
        """Return the pids of all that descend from a process and live."""
        entries = table().values()
        found = {pid: 0}
        _add_descendants(found, entries)
        del found[pid]
        self._ours.update(found)
        return sorted(found)

    def add(self, pid: int) -> None:
        """Add a process, with all that descends from it."""
        if entry := entry_of(pid):
            self._ours[pid] = entry.began

    def _has(self, entry: Entry) -> bool:
        return (
            entry.session in self.sessions
            or self._is_marked(entry)
            or self._works_in_the_place(entry.pid)
        )

    def _works_in_the_place(self, pid: int) -> bool:
        if self._place is None:
            return False
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self._place)
        return False

    def _is_marked(self, entry: Entry) -> bool:
        if self._others.get(entry.pid) == entry.began:
            return False
        try:
            environment = Path(f"/proc/{entry.pid}/environ").read_bytes()
        except OSError:
            return False
        if self.mark.encode() in environment.split(b"\0"):
            return True
        # One that is about to run another program has none for a moment.
        if environment:
            self._others[entry.pid] = entry.began
        return False


def _add_descendants(found: dict[int, int], entries: Collection[Entry]) -> None:
    has_grown = True
    while has_grown:
        has_grown = False
        for entry in entries:
            if entry.parent in found and entry.pid not in found and entry.is_alive():
                found[entry.pid] = entry.began
                has_grown = True


def _those_still_there(known: dict[int, int], now: dict[int, Entry]) -> dict[int, int]:
    return {
        pid: began
        for pid, began in known.items()
        if pid in now and now[pid].began == began and now[pid].is_alive()
    }


def is_alive(process: psutil.Process | int) -> bool:
    """Say whether a process lives; one that is dead and waits for its parent does not.

    Of a psutil.Process it is said of that one, not of another with its pid.
    """
    if isinstance(process, int):
        entry = entry_of(process)
        return entry is not None and entry.is_alive()
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE) and process.is_running()
    return False


def describe(process: psutil.Process) -> str:
    """Return pid and title of a process, or its name."""
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()}"
    return str(process.pid)


def title(pid: int) -> str:
    """Return what ps shows of a process; nothing if it is gone."""
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline()).strip()
    return ""


def name_of(process: psutil.Process) -> str:
    """Return the name of a process, dead ones included; nothing if it is reaped."""
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def open_files(pid: int) -> list[str]:
    """Return what each descriptor of a process leads to; nothing if it is gone."""
    found = []
    with suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found.append(str(link.readlink()))
    return found
