"""What a master answers about its pool, as records, and whether that is well."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from resqued.control.protocol import ReloadResult, StatusReply
from resqued.control.requests import SilentMaster
from resqued.core.pool_key import PoolKey
from resqued.diagnostics.pool_view import (
    JobLimits,
    PoolView,
    PoolWorker,
    limits_of,
    problem_of,
    show_pools,
)

WORKER: dict[str, Any] = {
    "id": "h:1:a",
    "pid": 1,
    "queues": "a",
    "generation": 1,
    "phase": "waiting",
    "quits": False,
    "since": 3.0,
    "done": 5,
    "failed": 2,
    "child": None,
    "job": None,
}
RUNNING = {
    "phase": "running",
    "child": 11,
    "job": {"queue": "a", "class": "Mail"},
    "limits": {"runtime": 60.0, "memory": None},
}
ANSWER: dict[str, Any] = {
    "pid": 9,
    "state": "running",
    "is_paused": False,
    "generation": 1,
    "is_reloading": False,
    "last_reload": None,
    "since": 100.0,
    "namespace": "resque",
    "modules": [],
    "pools": {"a": 2, "b": 1},
    "workers": [],
}


def pool(*workers: dict[str, Any], **values: Any) -> PoolView:
    answer = {**ANSWER, "workers": workers, **values}
    return PoolView.of(msgspec.convert(answer, StatusReply))


def worker(**values: Any) -> dict[str, Any]:
    return {**WORKER, **values}


LIMITS = {"runtime": 60.0, "memory": None}


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ({}, None),
        # Its child has not said them yet.
        ({**RUNNING, "limits": None}, None),
        ({**RUNNING, "limits": LIMITS}, JobLimits(runtime=60.0, memory=None)),
    ],
)
def test_limits_are_those_of_a_job_that_is_known_to_have_some(
    values: dict[str, Any], limits: JobLimits | None
) -> None:
    assert limits_of(msgspec.convert(worker(**values), PoolWorker)) == limits


def test_a_master_that_does_not_answer_is_a_record_with_an_error() -> None:
    found = PoolView.of(SilentMaster(9, "master 9 has gone"))
    assert (found.pid, found.error, found.workers) == (9, "master 9 has gone", ())
    assert found.as_dict() == {"pid": 9, "error": "master 9 has gone"}


def test_json_has_the_answer_as_it_was_given() -> None:
    answer = {**ANSWER, "workers": [worker(**RUNNING)]}
    shown = json.dumps(pool(worker(**RUNNING)).as_dict())
    assert json.loads(shown) == answer


@pytest.mark.parametrize(
    ("last", "failed"),
    [
        (None, None),
        ({"generation": 2, "error": ""}, None),
        (
            {"generation": 2, "error": "no module"},
            ReloadResult(generation=2, error="no module"),
        ),
    ],
)
def test_only_a_reload_that_failed_is_part_of_the_record(
    last: dict[str, Any] | None, failed: ReloadResult | None
) -> None:
    assert pool(last_reload=last).failed_reload == failed


def test_workers_and_jobs_are_counted() -> None:
    found = pool(
        worker(**RUNNING),
        # Its job is over, and is being recorded.
        worker(phase="settling"),
        worker(phase="starting", pid=None),
    )
    assert (found.wanted, len(found.workers), found.busy, found.jobs) == (3, 3, 1, 1)


WELL = [worker(), worker(**RUNNING), worker(queues="b")]


@pytest.mark.parametrize(
    ("workers", "values", "problem"),
    [
        (WELL, {}, ""),
        (WELL, {"is_paused": True}, ""),
        (WELL, {"last_reload": {"generation": 2, "error": "no module"}}, ""),
        # More than are wanted: the others are of an older generation.
        ([*WELL, worker(quits=True)], {}, ""),
        (
            WELL,
            {"state": "quitting"},
            "is quitting: it takes no more jobs",
        ),
        (
            [worker(), worker(phase="starting"), worker(queues="b")],
            {},
            "has 1 of 2 workers on a; its log and `resqued status` say more",
        ),
        (
            [worker(), worker(quits=True)],
            {},
            (
                "has 1 of 2 workers on a, 0 of 1 worker on b;"
                " its log and `resqued status` say more"
            ),
        ),
        ([], {"pools": {"a": 0}}, ""),
    ],
)
def test_a_pool_is_well_if_all_of_its_workers_are_registered_to_stay(
    workers: list[dict[str, Any]], values: dict[str, Any], problem: str
) -> None:
    assert problem_of(pool(*workers, **values)) == problem


@pytest.mark.parametrize(
    ("who", "has"), [("h:1:a", True), ("1", True), ("11", True), ("2", False)]
)
def test_a_worker_is_meant_by_its_id_its_pid_or_that_of_its_child(
    who: str, has: bool
) -> None:
    assert pool(worker(**RUNNING)).has(who) is has


def test_jobs_that_have_run_for_longer_are_found() -> None:
    found = pool(
        worker(**RUNNING, pid=1, since=10.0),
        worker(**RUNNING, pid=2, since=10.1),
        # It has waited, and has no job.
        worker(pid=3, since=1000.0),
    )
    assert [w.pid for w in found.running_longer_than(10.0)] == [2]


def test_pools_are_shown_with_their_workers() -> None:
    assert show_pools({}) == ""
    a, b = PoolKey("a,b", "resque"), PoolKey("*", "resque")
    assert show_pools({a: 2, b: 1}) == "a,b: 2; *: 1"
    other = PoolKey("a,b", "{mail}")
    assert show_pools({a: 2, other: 1}) == "a,b in resque: 2; a,b in {mail}: 1"


SEVERAL = [
    {"namespace": "resque", "pools": {"a": 1}},
    {"namespace": "{mail}", "pools": {"a": 2}, "redis_error": "away"},
]


def test_pools_of_several_namespaces_are_told_apart() -> None:
    mail = {**WORKER, "namespace": "{mail}"}
    found = pool(mail, pools={"a": 3}, namespaces=SEVERAL)
    assert found.pools == {PoolKey("a", "resque"): 1, PoolKey("a", "{mail}"): 2}
    assert found.wanted == 3
    assert found.serves == "namespaces resque, {mail}"
    assert problem_of(found).startswith(
        "has 0 of 1 worker on a in resque, 1 of 2 workers on a in {mail}; "
    )


@pytest.mark.parametrize(
    ("primary", "primaries", "text"),
    [
        ("h:1", ["h:1", "h:1"], "primary h:1, namespaces {a}, {b}"),
        ("", ["h:1", "h:2"], "namespaces {a} (primary h:1), {b} (primary h:2)"),
        # One of them has not been reached yet.
        ("", ["h:1", ""], "namespaces {a} (primary h:1), {b}"),
        ("", ["", ""], "namespaces {a}, {b}"),
    ],
)
def test_primaries_are_named_where_they_differ(
    primary: str, primaries: list[str], text: str
) -> None:
    namespaces = [
        {"namespace": name, "pools": {"a": 1}, "primary": place}
        for name, place in zip(("{a}", "{b}"), primaries, strict=True)
    ]
    assert pool(primary=primary, namespaces=namespaces).serves == text


def test_an_older_master_has_one_namespace() -> None:
    found = pool(WORKER, pools={"a": 1}, namespace="shop")
    assert found.namespaces == ("shop",)
    assert problem_of(found) == ""
