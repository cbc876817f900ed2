"""Fills this process with Python objects at import, as a large application does. They
are small and of mixed types, since their number determines the cost of fork, exit and
garbage collection.
"""

import gc
import os
from pathlib import Path

import marks

MEGABYTE = 1 << 20

# The resident memory of the whole process to reach, in bytes.
TARGET = int(os.environ.get("BENCH_HEAP_MB", "500")) * MEGABYTE

PAGE = os.sysconf("SC_PAGE_SIZE")

# How many records to add between two checks of the memory; about 8 MB.
STEP = 10_000


def rss() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def record(number: int) -> dict[str, object]:
    """Return an object as applications hold them by the million."""
    return {
        "id": number,
        "name": f"record {number}",
        "tags": [f"tag {number % 97}", f"tag {number % 89}"],
        "owner": {"id": number * 7, "rates": (number / 3, number / 7)},
    }


def fill(target: int) -> list[dict[str, object]]:
    """Return records of which there are so many that the process has `target` bytes.

    The garbage collector is off meanwhile: it would scan all records repeatedly.
    """
    records: list[dict[str, object]] = []
    gc.disable()
    while rss() < target:
        first = len(records)
        records.extend(map(record, range(first, first + STEP)))
    gc.enable()
    return records


HEAP = fill(TARGET)

JOBS = marks.JOBS
