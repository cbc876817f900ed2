"""The memory of a process: large pages, page tables, full pools, and OOM kills.

fork(2) copies page tables and exit(2) frees them: one entry for 2 MB instead of 512
makes both several times faster for a process of hundreds of megabytes. Linux 6.1 and
later can collapse pages that exist already (madvise(2), MADV_COLLAPSE). A small process
gains too, although most of its large pages are split soon after a fork, because it
writes to them: Linux 6.9 and later copy and free the entries of a split one in batches.

hot path: large-pages
"""

from __future__ import annotations

import ctypes
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_MADV_COLLAPSE, _MADV_DONTNEED = 25, 4
_LARGE_PAGE = 2 << 20

# A private mapping of a file in /proc/self/smaps that cannot be written to, how many
# kilobytes of it have page tables, and how many are not those of the file.
_MAPPING = re.compile(
    r"^(?P<low>[0-9a-f]+)-(?P<high>[0-9a-f]+) (?P<rights>r-xp|r--p) \S+ \S+ [1-9]\d* +"
    r"(?P<file>.*)\n(?:[A-Z].*\n)*?Rss: +(?P<present>\d+) kB\n"
    r"(?:[A-Z].*\n)*?Anonymous: +(?P<own>\d+) kB$",
    re.MULTILINE,
)

# A private mapping of no file that can be written to, and how many kilobytes of it are
# in memory. Stacks have other names in brackets.
_HEAP = re.compile(
    r"^(?P<low>[0-9a-f]+)-(?P<high>[0-9a-f]+) rw-p \S+ \S+ 0 *"
    r"(?:\[heap\]|\[anon:.*\])?\n(?:[A-Z].*\n)*?Rss: +(?P<present>\d+) kB$",
    re.MULTILINE,
)
# How much of a mapping must be in memory: a large page has all of its memory, and an
# application may have reserved far more than it uses.
_MOSTLY = 0.75

# See CPython's Objects/obmalloc.c: ALIGNMENT, SMALL_REQUEST_THRESHOLD, POOL_SIZE, and
# POOL_OVERHEAD.
_STEP = 16
_LARGEST = 512
_POOL = 1 << 14
_POOL_HEADER = 48
_MOST_GAPS = 5_000

# How old the count of OOM kills may be when a job begins, in seconds.
_FRESH = 1.0


def collapse() -> None:
    """Put the private heap of this process into large pages, if the kernel allows it.

    Mappings that are hardly used are left out. What the kernel refuses stays unchanged.
    """
    for start, length in _heap():
        _madvise(start, length, _MADV_COLLAPSE)


def empty_type_cache() -> None:
    """Forget which attributes of which types have been looked up.

    Until Python 3.12 each of the 4,096 entries of that cache counts as a reference to
    the attribute's name. A lookup after a fork that takes the place of one before it,
    most of which the imports have made, writes to both names.

    hot path: empty-type-cache
    """
    if sys.version_info < (3, 12):
        sys._clear_type_cache()


def empty_page_tables() -> None:
    """Forget which code has run: what runs later is what forks copy page tables of.

    See copy_page_tables. The pages stay in memory (madvise(2), MADV_DONTNEED).

    hot path: copied-tables
    """
    for mapping in _code():
        _madvise(mapping.start, mapping.length, _MADV_DONTNEED)


def copy_page_tables() -> int:
    """Let each fork copy the page tables of the code that has run.

    fork(2) copies the page tables of a mapping only if the mapping has had pages that
    are not those of its file. Else each child faults once for every 16 pages of code
    that it runs. So one byte of each mapping is written over itself through proc(5)'s
    mem, as debuggers do, which needs no writable mapping. To copy those of code that no
    child runs would cost more than the faults. Returns the number of mappings: 0 if the
    kernel or the rights of this process do not allow it.

    hot path: copied-tables
    """
    count = 0
    with suppress(OSError), Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for mapping in filter(lambda each: each.has_run, _code()):
            # The file of a mapping may be shorter by now.
            with suppress(OSError):
                memory.seek(mapping.start)
                byte = memory.read(1)
                memory.seek(mapping.start)
                count += memory.write(byte)
    return count


def fill_pools() -> list[object]:
    """Fill the gaps that an import has left in Python's pools of small objects.

    Objects that are created after a fork are then adjacent. Returns the objects that
    fill the gaps, which must be kept. They use no memory beyond that of the pools.
    """
    fillers: list[object] = []
    # hot path: fill-pools. Objects that are not adjacent cost a copied page each.
    # Python's own allocator has pools of 16 KiB for each size up to 512 bytes, in steps
    # of 16. With another allocator no address looks like a new pool.
    for size in range(_STEP, _LARGEST + 1, _STEP):
        for _ in range(_MOST_GAPS):
            filler = _object_of(size)
            if id(filler) % _POOL == _POOL_HEADER:
                break  # the first object of a new pool: no gap is left
            fillers.append(filler)
    return fillers


def _object_of(size: int) -> object:
    """Return a new object of `size` bytes that the garbage collector ignores."""
    if size == _STEP:
        return object()
    return float(size) if size == 2 * _STEP else bytes(size - sys.getsizeof(b""))


def _heap() -> Iterator[tuple[int, int]]:
    """Yield start and length of what can be in large pages (proc(5), smaps)."""
    for mapping in _HEAP.finditer(_smaps()):
        low, high = int(mapping["low"], 16), int(mapping["high"], 16)
        start = -(-low // _LARGE_PAGE) * _LARGE_PAGE
        length = high // _LARGE_PAGE * _LARGE_PAGE - start
        is_used = int(mapping["present"]) << 10 >= _MOSTLY * (high - low)
        if length > 0 and is_used:
            yield start, length


def _smaps() -> str:
    return Path("/proc/self/smaps").read_text(errors="replace")


class _Mapping(NamedTuple):
    """What is mapped read-only of a file with code, and whether some of it has run."""

    start: int
    length: int
    has_run: bool


def _code() -> list[_Mapping]:
    """Return what is mapped read-only of files with code (proc(5), smaps).

    A mapping with pages of its own is left out: they are not in the file.
    """
    found, files = [], set()
    for mapping in _MAPPING.finditer(_smaps()):
        low, high = int(mapping["low"], 16), int(mapping["high"], 16)
        if mapping["rights"] == "r-xp":
            files.add(mapping["file"])
        if mapping["own"] == "0":
            has_run = mapping["present"] != "0"
            found.append((_Mapping(low, high - low, has_run), mapping["file"]))
    return [each for each, file in found if file in files]


class OomKills:
    """Counts how often the kernel has killed a process because memory ran out.

    The count is that of this process's cgroup (version 2: with the cgroups below it;
    version 1: without), or that of the host if no cgroup has a count. The kernel does
    not report which process it killed.
    """

    def __init__(self) -> None:
        # The first job reads it: an idle worker need not.
        self._seen = _Count(Path(), 0)
        self._seen_at = -math.inf

    def note(self) -> None:
        """Record the count at the start of a job, so that earlier kills do not matter.

        A count that is less than a second old is kept, since reading it costs time.
        """
        if time.monotonic() - self._seen_at > _FRESH:
            self._see()

    def have_risen(self) -> bool:
        """Return True if the count has risen since it was last read."""
        before = self._seen
        self._see()
        # Counts of two cgroups cannot be compared: the process may have been moved.
        return self._seen.source == before.source and self._seen.kills > before.kills

    def _see(self) -> None:
        self._seen, self._seen_at = _oom_kills(), time.monotonic()


class _Count(NamedTuple):
    source: Path
    kills: int


def _oom_kills() -> _Count:
    for path in (*_event_files(), Path("/proc/vmstat")):
        with suppress(OSError, ValueError):
            for line in path.read_text("ascii").splitlines():
                key, _, count = line.partition(" ")
                if key == "oom_kill":
                    return _Count(path, int(count))
    return _Count(Path(), 0)


def _event_files() -> list[Path]:
    """Return the files with the counts of this process's cgroups (cgroups(7))."""
    files = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                files.append(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
            elif not controllers:
                files.append(Path(f"/sys/fs/cgroup{path}/memory.events"))
    return files
