"""Large pages for a large heap that is forked often.

fork(2) copies page tables and exit(2) takes them down: one entry for 2 MB instead
of 512 makes both several times cheaper for a process of hundreds of megabytes. Linux
6.1 and later collapses what is there already (madvise(2), MADV_COLLAPSE).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_MADV_COLLAPSE = 25
_LARGE_PAGE = 2 << 20

# A small heap gains nothing: most of its pages are written soon after a fork, and a
# large page that is written to is taken apart again.
WORTH_IT = 64 << 20


def collapse() -> int:
    """Put the private heap into large pages, where the kernel can.

    Answers how many bytes were asked for; 0 for a heap too small to gain from it.
    What the kernel refuses stays as it was.
    """
    libc = ctypes.CDLL(None)
    # What imports have left behind: pages that every fork would copy entries of.
    libc.malloc_trim(0)
    regions = _regions(Path("/proc/self/maps").read_text("ascii", "replace"))
    total = sum(length for _, length in regions)
    if total < WORTH_IT:
        return 0
    madvise = libc.madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, length in regions:
        madvise(start, length, _MADV_COLLAPSE)
    return total


def _regions(maps: str) -> list[tuple[int, int]]:
    """Return start and length of private memory that large pages fit into (proc(5))."""
    found = []
    for line in maps.splitlines():
        fields = line.split()
        is_heap = fields[1] == "rw-p" and fields[4] == "0"
        # Stacks and the like have names in brackets; the heap of malloc is one.
        if not is_heap or (len(fields) > 5 and fields[5] != "[heap]"):
            continue
        low, high = (int(part, 16) for part in fields[0].split("-"))
        start = -(-low // _LARGE_PAGE) * _LARGE_PAGE
        length = high // _LARGE_PAGE * _LARGE_PAGE - start
        if length > 0:
            found.append((start, length))
    return found
