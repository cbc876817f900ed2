"""Which children of the master are its own, and no leftovers of a dead worker's job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resqued.master.pool import children_of


def with_pids(*pids: int | None) -> list[Any]:
    return [SimpleNamespace(pid=pid) for pid in pids]


@pytest.mark.parametrize(
    ("workers", "zygotes", "dry_run", "expected"),
    [
        ((), (), None, set()),
        ((11, 12), (21,), None, {11, 12, 21}),
        # A zygote that is to be started, and the dry run of `reload --master`.
        ((11,), (None, 21), 31, {11, 21, 31}),
        # A worker that has not said its pid might be taken for a leftover.
        ((11, None), (21,), 31, None),
    ],
)
def test_children_that_are_no_leftovers(
    workers: tuple[int | None, ...],
    zygotes: tuple[int | None, ...],
    dry_run: int | None,
    expected: set[int] | None,
) -> None:
    found = children_of(with_pids(*workers), with_pids(*zygotes), dry_run)
    assert found == expected
