"""Fills this process with Python objects, as a large application does: at import,
and for good. Small objects of mixed kinds, since it is their number that fork, exit
and the collector's passes have to pay for.
"""

import gc
import os
from pathlib import Path

import marks

MEGABYTE = 1 << 20

# The resident memory to reach, all of the process counted.
TARGET = int(os.environ.get("BENCH_HEAP_MB", "500")) * MEGABYTE

PAGE = os.sysconf("SC_PAGE_SIZE")

# What one look at the resident memory is worth; about 8 MB.
STEP = 10_000


def rss() -> int:
    """The resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def record(number: int) -> dict[str, object]:
    """Make one object of the kind that applications hold by the million."""
    return {
        "id": number,
        "name": f"record {number}",
        "tags": [f"tag {number % 97}", f"tag {number % 89}"],
        "owner": {"id": number * 7, "rates": (number / 3, number / 7)},
    }


def fill(target: int) -> list[dict[str, object]]:
    """Build records until the process is as large as wanted.

    The collector is off meanwhile: it would walk all of them again and again.
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
