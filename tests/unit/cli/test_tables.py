"""The tables at 80 and 120 columns, beside the files in snapshots/.

RESQUED_WRITE_SNAPSHOTS=1 writes the files anew; read the difference before you commit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.text import Text

from resqued.cli import (
    delayed_commands,
    failure_table,
    queues,
    schedule_commands,
    top,
    worker_table,
)
from resqued.cli.masters import headlines
from resqued.cli.table import Column, Rows, table_lines, wrapped
from resqued.control.protocol import PoolWorker
from resqued.diagnostics.pool_view import PoolView
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.scheduler import published_schedule
from resqued.scheduler.schedule import Schedule
from resqued.store.delayed import DelayedJob
from resqued.store.failure_entry import Failure
from resqued.store.recurring import ScheduleState
from resqued.store.reports import RunningJob, Worker
from resqued.wire import timestamps
from tests.support.replies import WELL

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = (60, 80, 120)
NOW = 1_700_010_000.0
DIED = (
    "Worker web1.example.org:4711:critical,high did not gracefully exit while"
    " processing shop.jobs.orders.Receipt"
)
JOBS = (
    ("photos", "shop.jobs.images.thumbnails.ResizeEverythingOfAnAlbum", ["ab", 640]),
    ("mail", "Mail", [{"to": "a@example.org", "subject": "x" * 90}]),
    ("画像", "画像.サムネイルを作る", ["海辺の写真.jpg"]),
)


def failures() -> list[Failure]:
    found = []
    texts = ("division by zero", DIED, "読めない: 海辺の写真 " * 5)
    for number, (queue, name, args) in enumerate(JOBS):
        entry: dict[str, Any] = {
            "failed_at": timestamps.failed_at(NOW - 10 ** (number + 1)),
            "payload": {"class": name, "args": args},
            "exception": ("ZeroDivisionError", "Resque::DirtyExit", "Kaputt")[number],
            "error": texts[number],
            "worker": "h:1:q",
            "queue": queue,
        }
        if number == 1:
            entry["retried_at"] = timestamps.failed_at(NOW - 5)
        found.append(Failure(json.dumps(entry).encode()))
    return [*found, Failure(b"not a failure \xff")]


def local_worker(number: int, **values: Any) -> PoolWorker:
    queue, name, _ = JOBS[number % 3]
    runs = number < 8
    answer = {
        "id": f"web1.example.org:{4711 + number}:critical,high",
        "pid": 4711 + number,
        "queues": "critical,high",
        "generation": 3,
        "phase": "running" if runs else "waiting",
        "quits": number == 1,
        "since": 100.0 * number + 7,
        "done": 120_000 + number,
        "failed": number,
        "child": 9000 + number if runs else None,
        "job": {"queue": queue, "class": name} if runs else None,
        "cpu": 5.0,
        "memory": (number + 1) << 25,
        **values,
    }
    if runs:
        answer["limits"] = {"runtime": 900.0, "memory": 512 << 20}
    return msgspec.convert(answer, PoolWorker)


def pool(count: int) -> PoolView:
    workers = [local_worker(n) for n in range(count)]
    workers[-1] = local_worker(
        count - 1, id="", pid=None, phase="starting", since=None, job=None, child=None
    )
    return PoolView.of(
        replace(
            WELL,
            pid=4700,
            generation=3,
            since=7400.0,
            redis="redis://:***@redis.example.org:6379/12",
            namespace="shop",
            pools={"critical,high": count, "*,!critical,!high": 0},
            workers=tuple(workers),
        )
    )


def registered(worker_id: str, state: str, job: int | None = None) -> WorkerStatus:
    found = RunningJob(*JOBS[job][:2], tuple(JOBS[job][2]), "") if job else None
    worker = Worker(
        *(worker_id, "h", 1, ("q",), "working" if job else "idle", found),
        *("", "", 12, 3),
    )
    return WorkerStatus(
        worker, state, heartbeat_age=400.0, job_age=70.0 if job else None
    )


def everywhere() -> list[WorkerStatus]:
    return [
        registered("db7.example.org:31:mail", "silent"),
        registered("db7.example.org:32:mail,画像", "working", job=2),
        registered("old:5:*", "unknown"),
    ]


def delayed() -> list[DelayedJob]:
    waits = (7, 86_400 * 2, 5_000_000)
    found = []
    for wait, (queue, name, args) in zip(waits, JOBS, strict=True):
        item = json.dumps({"class": name, "args": args, "queue": queue}).encode()
        found.append(DelayedJob.read(item, str(int(NOW) + wait)))
    return [*found, DelayedJob.read(b"no job \xff", "soon")]


def recurring() -> dict[str, ScheduleState]:
    rules: tuple[dict[str, Any], ...] = (
        {"cron": "0 3 * * MON-FRI", "zone": "Europe/Vienna"},
        {"every": 600.0},
        {"cron": "*/15 * * * * *"},
    )
    found = {}
    for number, (queue, name, args) in enumerate(JOBS):
        schedule = Schedule(name, name, queue, tuple(args), **rules[number])
        definition = json.dumps(schedule.as_dict()).encode()
        last = (int(NOW) - 3_600, int(NOW) - 30, None)[number]
        text = "" if last is None else timestamps.heartbeat(last)
        found[("nightly", "sweep", "画像")[number]] = ScheduleState(
            definition, last, number != 1, text
        )
    return found


def shown(columns: Sequence[Column], rows: Rows, width: int | None) -> list[str]:
    return [line.plain for line in table_lines(columns, rows, width)]


def status(width: int, count: int) -> list[str]:
    here = pool(count)
    rows, line = worker_table.abridge(
        worker_table.join_workers(here.workers, everywhere())
    )
    head = [part for text in headlines(here) for part in wrapped(text, width, 2)]
    table = shown(worker_table.LOCAL_COLUMNS, [row.cells() for row in rows], width)
    return [*head, *table, *(wrapped(line, width, 2) if line else [])]


def look(name: str, width: int) -> list[str]:
    rows: Rows
    columns: Sequence[Column]
    match name:
        case "failed":
            columns = failure_table.COLUMNS
            rows = [failure_table.row_of(failure, NOW) for failure in failures()]
        case "workers":
            columns = worker_table.COLUMNS
            rows = [worker_table.as_row(each) for each in everywhere()]
        case "delayed":
            columns = delayed_commands.COLUMNS
            rows = [delayed_commands.row_of(job, NOW) for job in delayed()]
        case "schedule":
            columns = schedule_commands.COLUMNS
            rows = [
                schedule_commands.row_of(
                    published_schedule.read(name, state, NOW), NOW, has_ages=True
                )
                for name, state in recurring().items()
            ]
        case "queues":
            columns = queues.COLUMNS
            rows = [("critical", 0), ("画像" * 8, 1_000_000), ("x" * 90, 3)]
        case "top":
            columns, rows = top.COLUMNS, top.table_rows(pool(5).workers, {})
        case _:
            return status(width, 40 if name == "status of 40" else 4)
    return shown(columns, rows, width)


TABLES = ("failed", "workers", "queues", "top", "status", "status of 40")
TABLES += ("delayed", "schedule")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_looks_as_its_snapshot_does(name: str, width: int) -> None:
    lines = look(name, width)
    file = SNAPSHOTS / f"{name.replace(' ', '_')}.{width}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("RESQUED_WRITE_SNAPSHOTS"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize("width", range(10, 200, 10))
def test_no_heading_is_broken_and_no_id_is_lost(width: int) -> None:
    for failure in failures():
        row = failure_table.row_of(failure, NOW)
        title, *lines = shown(failure_table.COLUMNS, [row], width)
        known = {column.title for column in failure_table.COLUMNS}
        assert set(title.split()) <= known
        id_in_pieces = "".join(line[:12].split()[0] for line in lines)
        assert id_in_pieces == failure.id


def test_in_full_nothing_is_cut() -> None:
    rows = [failure_table.row_of(failure, None) for failure in failures()]
    lines = shown(failure_table.COLUMNS, rows, None)
    assert "ID            FAILED" in lines[0]
    assert DIED[:99] in lines[2]
    assert "2023/11/15 00:59:50 UTC" in lines[1]


def test_a_cell_has_the_colour_of_its_text() -> None:
    columns = (Column("STATE", rank=0, styles={"dead": "red"}),)
    _, line = table_lines(columns, [("dead",)], 80)
    assert line == Text.assemble(("dead", "red"))


@pytest.mark.parametrize(
    ("text", "room", "indent", "lines"),
    [
        ("one two", None, 0, ["one two"]),
        ("one two", 7, 0, ["one two"]),
        ("one two", 6, 2, ["one", "  two"]),
        ("  one two three", 9, 2, ["  one two", "    three"]),
        ("ok    one two", 12, 6, ["ok    one", "      two"]),
        # A name is copied whole, however long it is.
        ("one " + "x" * 20, 10, 2, ["one", "  " + "x" * 20]),
    ],
)
def test_sentences_are_broken_between_words(
    text: str, room: int | None, indent: int, lines: list[str]
) -> None:
    assert wrapped(text, room, indent) == lines


@pytest.mark.parametrize("width", [None, 80])
def test_a_column_that_tells_apart_is_shown_only_where_rows_differ(
    width: int | None,
) -> None:
    columns = (Column("ID", rank=0), Column("NAMESPACE", tells_apart=True))
    alike = [("a", "resque"), ("b", "resque"), ("c", "")]
    assert shown(columns, alike, width) == ["ID", "a", "b", "c"]
    differing = [("a", "resque"), ("b", "{mail}")]
    assert [line.split() for line in shown(columns, differing, width)] == [
        ["ID", "NAMESPACE"],
        ["a", "resque"],
        ["b", "{mail}"],
    ]


def test_a_worker_of_another_namespace_is_not_taken_for_one_of_the_same_id() -> None:
    local = local_worker(0, namespace="{mail}")
    stale = registered(local.id, "silent")
    rows = worker_table.join_workers([local], [stale], "resque")
    assert [(row.namespace, row.state) for row in rows] == [
        ("resque", "silent"),
        ("{mail}", "working"),
    ]
    (row,) = worker_table.join_workers([local], [stale], "{mail}")
    assert row.registered is stale
