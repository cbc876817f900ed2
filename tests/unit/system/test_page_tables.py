"""What a child has of the page tables of libraries right after its fork."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from resqued.system.memory import copy_page_tables, empty_page_tables
from tests.support.forking import run_in_child

SIZE = 1 << 20


def resident(name: str) -> int:
    """Return the bytes of a mapped file whose page tables are there (proc(5))."""
    text = Path("/proc/self/smaps").read_text("utf-8", "replace")
    _, _, entry = text.partition(f"{name}\n")
    line = next(line for line in entry.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) << 10


def map_whole(path: Path, size: int, rights: int) -> mmap.mmap:
    """Map a file privately and read each page."""
    path.write_bytes(b"\x90" * size)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=rights)
    assert mapped[:] == b"\x90" * size
    return mapped


@pytest.mark.parametrize(
    ("rights", "has_run", "copied"),
    [
        (mmap.PROT_READ | mmap.PROT_EXEC, True, SIZE),
        (mmap.PROT_READ | mmap.PROT_EXEC, False, 0),
        (mmap.PROT_READ, True, 0),
    ],
    ids=["library", "library that is not used", "data"],
)
def test_a_child_starts_with_the_page_tables_of_code_that_has_run(
    tmp_path: Path, rights: int, has_run: bool, copied: int
) -> None:
    path = tmp_path / "a library (of mine).so"

    def live() -> None:
        mapped = map_whole(path, SIZE, rights)
        is_library = bool(rights & mmap.PROT_EXEC)
        empty_page_tables()
        check(resident(str(path)) == (0 if is_library else SIZE))
        if has_run:
            # Neither the file nor what is read of it has changed.
            check(mapped[:] == path.read_bytes() == b"\x90" * SIZE)
        check(copy_page_tables() > 3)
        run_in_child(lambda: check(resident(str(path)) == copied))
        check(mapped[:] == path.read_bytes() == b"\x90" * SIZE)

    run_in_child(live)


def test_a_file_that_is_shorter_by_now_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "cut.so"

    def live() -> None:
        with map_whole(path, SIZE, mmap.PROT_READ | mmap.PROT_EXEC):
            os.truncate(path, 0)
            check(copy_page_tables() > 3)

    run_in_child(live)


def check(condition: bool) -> None:
    assert condition
