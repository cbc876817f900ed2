"""Wire cases of job classes with hooks: what they leave in Redis."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from resqued import Client
from tests.compat import hooked_jobs as jobs
from tests.compat.dump import holds
from tests.compat.wire import FAILED_ONCE, Case, deviates, entry, failed

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

QUEUES = {"resque:queues": "set {default}"}


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


# Producers


def test_a_before_enqueue_hook_that_answers_false_stops_the_push(case: Case) -> None:
    assert case.client.enqueue(jobs.VetoQ, 1) is False
    assert case.client.enqueue_many([(jobs.VetoQ, 1)]) == 0
    assert case.dump() == {}


def test_only_false_is_a_veto(case: Case) -> None:
    assert case.client.enqueue(jobs.NilQ, 1) is True
    assert case.dump() == QUEUES | holds("""
        resque:queue:default = list:
          [0] {"class":"NilQ","args":[1]}
    """)


def test_a_before_enqueue_hook_that_raises_stops_the_push(case: Case) -> None:
    with pytest.raises(RuntimeError, match=r"^be$"):
        case.client.enqueue(jobs.RaiseQ, 1)
    assert case.dump() == {}


def test_an_after_enqueue_hook_that_raises_does_not_undo_the_push(case: Case) -> None:
    with pytest.raises(RuntimeError, match=r"^ae$"):
        case.client.enqueue(jobs.AfterEnq, 1)
    assert case.dump() == QUEUES | holds("""
        resque:queue:default = list:
          [0] {"class":"AfterEnq","args":[1]}
    """)


def test_a_before_dequeue_hook_that_answers_false_leaves_the_job(case: Case) -> None:
    case.client.enqueue(jobs.VetoD, 1)
    assert case.client.dequeue(jobs.VetoD, 1) == 0
    assert case.client.size("default") == 1


def test_an_after_dequeue_hook_that_raises_does_not_undo_it(case: Case) -> None:
    case.client.enqueue(jobs.AfterDeq, 1)
    with pytest.raises(RuntimeError, match=r"^ad$"):
        case.client.dequeue(jobs.AfterDeq, 1)
    assert case.dump() == QUEUES


def test_inline_hooks_run_and_nothing_is_written(case: Case) -> None:
    inline = Client(case.url, inline=True)
    assert inline.enqueue(jobs.Dont) is True
    assert inline.enqueue(jobs.VetoQ) is False
    with pytest.raises(RuntimeError, match=r"^not bad thing$"):
        inline.enqueue(jobs.FailBoom)
    assert case.dump() == {}


@deviates("schedule-hooks")
def test_the_hooks_of_schedules_run_in_the_producer_alone(
    case: Case, redis_url: str
) -> None:
    when = datetime.fromtimestamp(1900000000, UTC)
    assert case.client.enqueue_at(when, jobs.VetoS, 1) is False
    assert case.client.enqueue_many_later([(jobs.VetoS, 1)], at=when) == 0
    assert Client(redis_url, inline=True).enqueue_in("1m", jobs.VetoS, 1) is False
    assert case.dump() == {}
    with pytest.raises(RuntimeError, match=r"^as$"):
        case.client.enqueue_at(when, jobs.AfterSched, 1)
    # Neither its veto nor that of before_delayed_enqueue counts when it is due.
    assert case.client.enqueue_at(when, jobs.VetoQ, 1) is True
    for job in case.client.delayed:
        case.client.delayed.run_now(job)
    assert case.dump() == QUEUES | holds("""
        resque:queue:default = list:
          [0] {"class":"AfterSched","args":[1]}
          [1] {"class":"VetoQ","args":[1]}
    """)


# Children, one daemon for all of them


@deviates("prune-lock", "names", "failure-hooks")
def test_the_hooks_around_a_job_decide_its_outcome(case: Case) -> None:
    classes = (
        "Dont",
        "DontOutside",
        "SwallowsIt",
        "NoYield",
        "BeforeBoom",
        "AfterBoom2",
    )
    for name in (*classes, "FailBoom"):
        case.push("default", b'{"class":"%b","args":[]}' % name.encode())
    with case.daemon("-a", "tests.compat.hooked_jobs", "--burst") as daemon:
        # That of the hook of FailBoom.
        daemon.may_log_tracebacks = True
        assert daemon.wait() == 0
        case.know(daemon)
    expected = [
        ("DontOutside", "resqued.errors.DontPerform", "DontPerform"),
        ("BeforeBoom", "RuntimeError", "before"),
        ("AfterBoom2", "RuntimeError", "after"),
        # The error of the hook is in the log; that of the job is the failure.
        ("FailBoom", "ValueError", "bad thing"),
    ]
    entries = [
        entry(f'{{"class":"{name}","args":[]}}', exception, error, "<BT>")
        for name, exception, error in expected
    ]
    counts = {name: re.sub("1", "4", text) for name, text in FAILED_ONCE.items()}
    counts["resque:stat:processed"] = "string 7"
    assert case.dump() == QUEUES | counts | failed(*entries)


BROKEN = """
import resqued


@resqued.hook.before_first_fork
def refuse():
    raise RuntimeError("not today")


@resqued.hook.worker_exit
def leave():
    raise SystemExit(3)
"""


@deviates("prune-lock", "worker-hooks")
def test_a_hook_of_a_worker_that_raises_costs_neither_worker_nor_job(
    case: Case,
) -> None:
    """In Ruby the worker would end before it had registered."""
    (case.folder / "broken.py").write_text(BROKEN)
    case.push("default", b'{"class":"Ok","args":[1]}')
    with case.daemon("-a", "broken", "--burst") as daemon:
        daemon.may_log_tracebacks = True
        assert daemon.wait() == 0
        assert len(daemon.wait_for_event("hook_failed", count=2)) == 2
    assert case.dump() == QUEUES | {"resque:stat:processed": "string 1"}
