"""`resqued retries`: the jobs that wait for another attempt."""

from __future__ import annotations

import json

import pytest
import redis as redis_py

import resqued
from resqued.errors import ResquedError
from resqued.store.job_identity import identify
from tests.support.cli import Run

ENTRY = {"exception": "OSError", "error": "no route", "backtrace": ["line 1"]}


@pytest.fixture
def waiting(client: resqued.Client, redis: redis_py.Redis) -> resqued.Client:
    """Three delayed jobs, of which two wait for an attempt."""
    for number in range(3):
        client.enqueue_in_with_queue("mail", f"{number + 1}h", f"Job{number}", number)
        if number:
            name = identify(f"Job{number}", [number])
            redis.set(f"resque:resque-retry:{name}", number)
            redis.set(f"resque:failure-resque-retry:{name}", json.dumps(ENTRY))
    return client


def found(run: Run, *args: str) -> list[dict[str, object]]:
    answer = json.loads(run("retries", *args, "--json").stdout)
    assert isinstance(answer, list)
    return answer


def test_retries_are_listed_and_shown(run: Run, waiting: resqued.Client) -> None:
    one, two = found(run)
    assert (one["class"], one["attempt"]) == ("Job1", 3)
    assert (two["class"], two["attempt"], two["failure"]) == ("Job2", 4, ENTRY)
    assert found(run, "list", "--class", "Job2") == [two]
    assert found(run, "list", "--start", "1") == [two]
    assert "OSError: no route" in run("retries").stdout
    assert json.loads(run("retries", "show", str(two["id"]), "--json").stdout) == two
    shown = run("retries", "show", str(two["id"])[:6]).stdout
    assert "attempt   4" in shown
    assert "line 1" in shown


def test_a_failure_of_another_type_ends_no_list(
    run: Run, waiting: resqued.Client, redis: redis_py.Redis
) -> None:
    key = f"resque:failure-resque-retry:{identify('Job1', [1])}"
    redis.delete(key)
    redis.rpush(key, "of another program")
    one, two = found(run)
    assert (one["failure"], two["failure"]) == (None, ENTRY)


def test_retries_are_run_and_cancelled(
    run: Run, waiting: resqued.Client, redis: redis_py.Redis
) -> None:
    one, two = (str(retry["id"]) for retry in found(run))
    assert run("retries", "run", one[:8]).stdout == "enqueued 1 delayed job\n"
    assert waiting.peek("mail") == [{"class": "Job1", "args": [1]}]
    assert redis.get(f"resque:resque-retry:{identify('Job1', [1])}") == b"1"
    said = run("retries", "cancel", two, "--yes").stdout
    assert said == "cancelled 1 delayed job\n"
    assert not redis.keys("*retry:Job2*")
    assert found(run) == []
    assert waiting.delayed.count() == 1


def test_all_that_match_are_cancelled_and_no_other_delayed_job(
    run: Run, waiting: resqued.Client
) -> None:
    (plain,) = [job.id for job in waiting.delayed if job.class_name == "Job0"]
    for command in ("run", "show", "cancel"):
        said = run("retries", command, plain, fails=ResquedError).exception
        assert "waits for no other attempt" in str(said)
    run("retries", "cancel", fails=SystemExit)
    run("retries", "cancel", "--class", "Job1", "--yes", fails=SystemExit)
    said = run("retries", "cancel", "--all", "--yes").stdout
    assert said == "cancelled 2 delayed jobs\n"
    assert [job.class_name for job in waiting.delayed] == ["Job0"]
    assert run("retries").stdout == "no retries wait\n"
