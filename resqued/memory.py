"""Large pages for a heap that is forked often.

fork(2) copies page tables: one entry for 2 MB instead of 512 makes the fork and
the exit of a large process several times cheaper. Linux 6.1 and later can
collapse what is there already (madvise(2), MADV_COLLAPSE).
"""

from __future__ import annotations


def collapse() -> None:
    """Have the kernel put the private heap into large pages, where it can."""
