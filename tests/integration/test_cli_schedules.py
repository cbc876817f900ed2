"""`resqued delayed` and `resqued schedule`, and what `why` and `doctor` say of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_py

import resqued
from resqued.errors import ResquedError
from resqued.scheduler.schedule import Schedule
from resqued.store.connection import Link
from resqued.store.recurring import RecurringJobs
from resqued.wire.keys import Keys
from tests.support.cli import Run

FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def waiting(client: resqued.Client) -> resqued.Client:
    for number, queue in enumerate(("mail", "mail", "low")):
        when = FAR + timedelta(days=number)
        client.enqueue_at_with_queue(queue, when, f"Job{number}", number)
    return client


def ids(run: Run, *args: str) -> list[str]:
    return [job["id"] for job in json.loads(run("delayed", *args, "--json").stdout)]


def test_delayed_jobs_are_listed_and_shown(run: Run, waiting: resqued.Client) -> None:
    text = run("delayed").stdout
    assert [line.split()[0] for line in text.splitlines()] == ["ID", *ids(run)]
    assert "Job2" in text
    (job,) = json.loads(run("delayed", "list", "--class", "Job1", "--json").stdout)
    assert job == {
        "id": job["id"],
        "due_at": job["due_at"],
        "queue": "mail",
        "class": "Job1",
        "args": [1],
    }
    assert datetime.fromisoformat(job["due_at"]) == FAR + timedelta(days=1)
    assert len(ids(run, "list", "--queue", "mail")) == 2
    assert ids(run, "list", "--start", "1", "--count", "1") == [job["id"]]
    assert "Job1" in run("delayed", "show", job["id"][:6]).stdout
    assert json.loads(run("delayed", "show", job["id"], "--json").stdout) == job


def test_delayed_jobs_are_run_and_cancelled(run: Run, waiting: resqued.Client) -> None:
    first, second, _ = ids(run)
    assert run("delayed", "run", first[:8]).stdout == "enqueued 1 delayed job\n"
    assert waiting.peek("mail") == [{"class": "Job0", "args": [0]}]
    run("delayed", "cancel", second, fails=SystemExit)
    assert waiting.delayed.count() == 2
    said = run("delayed", "cancel", second, "--yes").stdout
    assert said == "cancelled 1 delayed job\n"
    with pytest.raises(ResquedError, match="there is no delayed job"):
        run("delayed", "run", second)
    said = run("delayed", "run", "--all", "--queue", "low").stdout
    assert said == "enqueued 1 delayed job\n"
    assert run("delayed").stdout == "no delayed jobs\n"
    assert "0 delayed jobs" in run("delayed", "cancel", "--all", "--yes").stdout


@pytest.mark.parametrize(
    "args",
    [
        ("run",),
        ("cancel", "--class", "X"),
        ("run", "3f2a", "--all"),
    ],
)
def test_what_is_chosen_must_be_clear(args: tuple[str, ...], run: Run) -> None:
    run("delayed", *args, fails=SystemExit)


def test_an_item_that_is_no_job_is_listed_and_cancelled(
    run: Run, redis: redis_py.Redis
) -> None:
    redis.rpush("resque:delayed:4102444800", "nonsense\x1b[31m")
    redis.zadd("resque:delayed_queue_schedule", {"4102444800": 4102444800})
    assert "nonsense\\x1b[31m" in run("delayed").stdout
    (job_id,) = ids(run)
    with pytest.raises(ResquedError, match="is no job"):
        run("delayed", "run", job_id)
    run("delayed", "cancel", job_id, "--yes")
    assert redis.keys() == []


def test_recurring_jobs_are_listed_switched_run_and_removed(
    run: Run, client: resqued.Client, redis_url: str
) -> None:
    schedule = Schedule("nightly", "Job", "low", args=(1,), cron="0 3 * * *")
    jobs = RecurringJobs(Link(redis_url), Keys())
    now = int(jobs.clock())
    jobs.register({"nightly": json.dumps(schedule.as_dict())}, now)
    (found,) = json.loads(run("schedule", "--json").stdout)
    assert (found["name"], found["state"], found["last"]) == (
        "nightly",
        "enabled",
        None,
    )
    due = datetime.fromisoformat(found["next"]).astimezone(UTC)
    assert (due.hour, due.minute, due.second) == (3, 0, 0)
    assert now < due.timestamp() <= now + 86_400
    assert found["args"] == [1]

    assert run("schedule", "disable", "nightly").stdout == "disabled nightly\n"
    assert "already" in run("schedule", "disable", "nightly").stdout
    assert "disabled" in run("schedule").stdout
    assert run("schedule", "enable", "nightly").stdout == "enabled nightly\n"
    said = run("schedule", "run", "nightly").stdout
    assert said == "enqueued Job(1) on queue low\n"
    assert client.peek("low") == [{"class": "Job", "args": [1]}]

    assert jobs.tick("nightly", now, now - 90_000, None, 0) == "skipped"
    assert json.loads(run("schedule", "show", "nightly", "--json").stdout)["state"] == (
        "overdue"
    )
    assert "0 3 * * *" in run("schedule", "show", "nightly").stdout
    run("schedule", "remove", "nightly", "--yes")
    assert run("schedule").stdout == "no recurring jobs\n"
    with pytest.raises(ResquedError, match="there is no recurring job 'nightly'"):
        run("schedule", "run", "nightly")


def test_why_says_until_when_a_job_is_delayed(
    run: Run, waiting: resqued.Client
) -> None:
    for args in (("Job1",), ("mail",)):
        (answer,) = json.loads(run("why", *args, "--json").stdout)
        (first, *_) = answer["findings"]
        assert first["kind"] == "delayed"
        assert "delayed until 2100-01-0" in first["text"]


@pytest.mark.parametrize(
    ("key", "who"),
    [
        ("resque:resque:resque_scheduler_master_lock", "resque-scheduler (h:1)"),
        ("resque:resque_scheduler_leader_lock", "the scheduler of node-resque (h:1)"),
    ],
)
def test_doctor_tells_of_schedulers_of_other_kinds(
    key: str, who: str, run: Run, redis: redis_py.Redis
) -> None:
    def finding() -> dict[str, str]:
        report = json.loads(run("doctor", "--json").stdout)
        findings = report["findings"] if isinstance(report, dict) else report
        return next(f for f in findings if f["check"] == "schedulers")

    assert finding()["verdict"] == "ok"
    redis.set(key, "h:1", ex=180)
    assert finding()["verdict"] == "warning"
    assert who in finding()["text"]
