"""What `resqued top` makes of what masters say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from resqued.cli.table import Cell
from resqued.cli.top import COLUMNS, table_rows
from resqued.control.protocol import StatusReply
from resqued.control.requests import SilentMaster
from resqued.diagnostics.pool_view import PoolView, PoolWorker
from resqued.diagnostics.worker_usage import Sample, processors, take_samples
from tests.support.replies import WELL


def worker(**values: Any) -> PoolWorker:
    answer = {
        "id": "h:1:q",
        "pid": 1,
        "queues": "q",
        "generation": 1,
        "phase": "running",
        "quits": False,
        "since": 10.0,
        "done": 0,
        "failed": 0,
        "child": 2,
        "job": {"queue": "q", "class": "Archive"},
        "limits": {"runtime": None, "memory": None},
        "cpu": 5.0,
        "memory": 1 << 20,
        **values,
    }
    return msgspec.convert(answer, PoolWorker)


def status(*workers: PoolWorker) -> StatusReply:
    return replace(WELL, workers=workers)


def cell(row: tuple[object, ...], title: str, after: str = "") -> object:
    titles = [column.title for column in COLUMNS]
    return row[titles.index(title, titles.index(after) if after else 0)]


@pytest.mark.parametrize(
    ("values", "sample", "used"),
    [
        ({}, Sample(at=100.0, cpu=4.0), 0.5),
        ({}, None, 0.5),
        # Two looks at the same time cannot be compared.
        ({}, Sample(at=102.0, cpu=4.0), 0.5),
        # A child that has gone takes what it had used along.
        ({"cpu": 1.0}, Sample(at=100.0, cpu=4.0), 0.0),
        ({"child": None}, None, None),
        ({"since": None}, None, None),
        ({"cpu": None}, Sample(at=100.0, cpu=4.0), None),
    ],
)
def test_cpu_is_that_since_the_last_look_or_else_since_the_job_began(
    values: dict[str, Any], sample: Sample | None, used: float | None
) -> None:
    assert processors(worker(**values), sample, 102.0) == used


def test_another_job_of_the_worker_is_not_compared_with_the_one_before() -> None:
    seen = PoolView.of(status(worker(child=2), worker(pid=9, cpu=None)))
    silent = PoolView.of(SilentMaster(1, "does not answer"))
    samples = take_samples([seen, silent], at=1.0)
    assert samples == {(1, 2): Sample(1.0, 5.0)}
    (row,) = table_rows([worker(child=3, cpu=0.0)], samples)
    assert cell(row, "CPU %") == "0"


@pytest.mark.parametrize(
    ("used", "style"), [(80, ""), (81, "yellow"), (100, "yellow"), (101, "bold red")]
)
def test_near_a_limit_a_figure_has_a_colour(used: int, style: str) -> None:
    limits = {"runtime": 100.0, "memory": 100 << 20}
    (row,) = table_rows([worker(since=used, memory=used << 20, limits=limits)], {})
    for title in ("TIME", "MEMORY"):
        found = cell(row, title)
        assert isinstance(found, Cell)
        assert found.style == style
    assert [cell(row, "OF"), cell(row, "OF", after="TIME")] == ["100 MB", "1m40s"]


def test_without_a_limit_there_is_nothing_to_be_near() -> None:
    (row,) = table_rows([worker(since=1e6, memory=1 << 40)], {})
    assert [cell(row, "OF"), cell(row, "OF", after="TIME")] == ["", ""]
    (row,) = table_rows([worker(limits=None)], {})
    assert cell(row, "OF") == ""


def test_the_oldest_job_comes_first_and_the_idle_come_last() -> None:
    workers = [
        worker(pid=1, child=None, job=None, since=1e6),
        worker(pid=2, since=5.0),
        worker(pid=3, since=50.0),
        worker(pid=None, child=None, job=None, since=None, phase="starting"),
    ]
    found = table_rows(workers, {})
    assert [row[0] for row in found] == [3, 2, 1, "-"]
