"""Objects that are made after fill_pools lie side by side."""

from __future__ import annotations

import subprocess
import sys

import pytest

FILL = """
import sys
holes = [bytes(size) for size in range(400) for _ in range(200)]
del holes[::50]
from resqued.system.memory import fill_pools
fillers = fill_pools() if sys.argv[1] == "filled" else []
made = [[bytes(size) for _ in range(8)] for size in (31, 95, 223)]
print(sum(len({id(item) >> 12 for item in row}) for row in made))
"""


def pages(how: str, environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", FILL, how]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_objects_that_are_made_later_share_their_pages() -> None:
    assert pages("filled", {}) < pages("as they are", {})


@pytest.mark.parametrize("allocator", ["malloc", "debug"])
def test_another_allocator_is_left_as_it_is(allocator: str) -> None:
    assert pages("filled", {"PYTHONMALLOC": allocator}) > 0
