"""Reads the limits of this host: rlimits, cgroups, memory, kernel (proc(5)).

Changes nothing. The limits are those of this process; a unit may have others.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resqued.diagnostics.host_checks import HostLimits
from resqued.system import system_calls

# From madvise(2); Python has no name for it.
_MADV_COLLAPSE = 25
_LARGE_PAGE = 2 << 20
_CGROUPS = Path("/sys/fs/cgroup")


def examine() -> HostLimits:
    """Return the limits and properties of this host."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    group = _own_cgroup()
    return HostLimits(
        open_files=None if files == resource.RLIM_INFINITY else files,
        processes=dict(_room_for_processes(group)),
        memory=min([_total_memory(), *_limits_above(group, "memory.max")]),
        overcommit=_number(Path("/proc/sys/vm/overcommit_memory")) or 0,
        has_cgroup_memory=None if group is None else _has_memory(group),
        kernel=os.uname().release,
        has_collapse=_has_collapse(),
        refused=system_calls.refused(),
    )


def _own_cgroup() -> Path | None:
    """Return this process's cgroup of version 2; None if it does not exist."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            group = Path(f"{_CGROUPS}{path}")
            if not controllers and (group / "cgroup.controllers").exists():
                return group
    return None


def _has_memory(group: Path) -> bool:
    with suppress(OSError):
        return "memory" in (group / "cgroup.controllers").read_text("ascii").split()
    return False


def _room_for_processes(group: Path | None) -> Iterator[tuple[str, int]]:
    """Yield each limit of the number of processes, with how many more it allows."""
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    # This limit does not apply to root.
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:
        yield "RLIMIT_NPROC", most - _threads_of_user()
    for place in _upwards(group):
        limit = _number(place / "pids.max")
        if limit is not None:
            yield (
                "pids.max of the cgroup",
                limit - (_number(place / "pids.current") or 0),
            )
    total = _number(Path("/proc/sys/kernel/pid_max"))
    if total is not None:
        yield "pid_max", total - sum(1 for _ in _processes())


def _threads_of_user() -> int:
    """Return how many threads this user has; the kernel counts threads."""
    found = 0
    for place in _processes():
        with suppress(OSError):
            if place.stat().st_uid == os.geteuid():
                found += len(os.listdir(place / "task"))  # noqa: PTH208 - to count
    return found


def _processes() -> Iterator[Path]:
    names = os.listdir("/proc")  # noqa: PTH208 - names alone, and fast
    return (Path("/proc", name) for name in names if name.isdigit())


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits_above(group: Path | None, name: str) -> Iterator[int]:
    for place in _upwards(group):
        limit = _number(place / name)
        if limit is not None:
            yield limit


def _upwards(group: Path | None) -> Iterator[Path]:
    """Yield a cgroup and its ancestors, each of which may limit it."""
    if group is not None:
        yield group
        yield from (place for place in group.parents if _CGROUPS in place.parents)


def _number(path: Path) -> int | None:
    """Return the number in a file; None if it has none, such as `max`."""
    with suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return None


def _has_collapse() -> bool:
    """Return True if MADV_COLLAPSE works; an old kernel refuses it with EINVAL."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, 2 * _LARGE_PAGE, flags=private) as memory:
        memory.write(bytes(len(memory)))
        try:
            memory.madvise(_MADV_COLLAPSE)
        except OSError as error:
            return error.errno != errno.EINVAL
    return True
