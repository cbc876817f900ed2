"""Large pages: a process puts its heap into them, and no byte of it changes."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

import pytest

from resqued.diagnostics.host_limits import examine
from resqued.system.memory import collapse
from resqued.system.procfs import resident_pages
from tests.support.forking import run_in_child

LARGE_PAGE = 2 << 20
# A region of this size has at least two whole large pages, wherever it begins.
SIZE = 3 * LARGE_PAGE


def in_large_pages() -> int:
    """Return the bytes of this process that are in large pages (proc(5), smaps)."""
    text = Path("/proc/self/smaps").read_text("utf-8", "replace")
    return sum(
        int(kb) << 10 for kb in re.findall(r"^AnonHugePages: +(\d+)", text, re.M)
    )


@pytest.fixture(autouse=True)
def has_collapse() -> None:
    if not examine().has_collapse:
        pytest.skip("this kernel has no MADV_COLLAPSE")


def test_a_small_heap_is_put_into_large_pages() -> None:
    def live() -> None:
        region = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE)
        content = os.urandom(SIZE)
        region[:] = content
        before = in_large_pages()
        collapse()
        if in_large_pages() <= before:
            raise AssertionError("the region is not in large pages")
        if region[:] != content:
            raise AssertionError("the content has changed")

    run_in_child(live)


def test_what_is_reserved_and_hardly_used_takes_no_more_memory() -> None:
    def live() -> None:
        region = mmap.mmap(-1, 16 * SIZE, flags=mmap.MAP_PRIVATE)
        # One page of each large one.
        for place in range(0, len(region), LARGE_PAGE):
            region[place] = 1
        before = resident_pages(os.getpid())
        collapse()
        # The rest of this process may grow by the unused ends of its own mappings.
        if resident_pages(os.getpid()) > before + 8 * SIZE // mmap.PAGESIZE:
            raise AssertionError("memory that nobody uses was taken")

    run_in_child(live)
