"""What `resqued top` makes of what masters say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from resqued.cli.table import Cell
from resqued.cli.top import COLUMNS, Sample, cpu_share, table_rows, taken
from resqued.control.protocol import PoolWorker, StatusReply
from resqued.control.requests import SilentMaster


def worker(**values: Any) -> PoolWorker:
    given = {
        "id": "h:1:q",
        "pid": 1,
        "queues": "q",
        "generation": 1,
        "phase": "running",
        "quits": False,
        "since": 10.0,
        "child": 2,
        "job": {"queue": "q", "class": "Archive"},
        "limits": {"runtime": None, "memory": None},
        "cpu": 5.0,
        "memory": 1 << 20,
        "done": 0,
        "failed": 0,
        **values,
    }
    return msgspec.convert(given, PoolWorker)


def status(*workers: PoolWorker) -> StatusReply:
    return StatusReply(
        pid=7,
        state="running",
        is_paused=False,
        generation=1,
        is_reloading=False,
        last_reload=None,
        since=1.0,
        namespace="resque",
        modules=(),
        pools={"q": 1},
        workers=workers,
    )


def cell(row: tuple[object, ...], title: str, after: str = "") -> object:
    titles = [column.title for column in COLUMNS]
    return row[titles.index(title, titles.index(after) if after else 0)]


def test_cpu_is_that_since_the_last_look_or_else_since_the_job_began() -> None:
    assert cpu_share(worker(), Sample(at=100.0, cpu=4.0), 102.0) == 0.5
    assert cpu_share(worker(), None, 102.0) == 0.5
    # A child that has gone takes what it had used along.
    assert cpu_share(worker(cpu=1.0), Sample(at=100.0, cpu=4.0), 102.0) == 0.0
    assert cpu_share(worker(child=None), None, 102.0) is None
    assert cpu_share(worker(cpu=None), Sample(at=100.0, cpu=4.0), 102.0) is None


def test_another_job_of_the_worker_is_not_compared_with_the_one_before() -> None:
    silent = SilentMaster(1, "does not answer")
    samples = taken([status(worker(child=2)), silent], at=1.0)
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
