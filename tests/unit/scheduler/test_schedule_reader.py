"""Schedules as they are written: in a file, on a job, by resque-scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resqued.config.loader import build, read_file
from resqued.errors import ConfigError, JobClassError
from resqued.jobs import recurrence as recurring
from resqued.jobs.declare import DECLARED, job
from resqued.scheduler.schedule import Schedule
from resqued.scheduler.schedule_reader import (
    WrongScheduleError,
    from_ruby,
    read_schedule,
)

GOOD = {"class": "Job", "queue": "q", "every": "10m"}


def test_a_schedule_with_everything() -> None:
    table = {
        "class": "Job",
        "queue": "low",
        "args": [1, {"a": None}],
        "cron": "0  3 * * MON",
        "zone": "Europe/Vienna",
        "missed": "all",
        "overlap": False,
        "description": "d",
    }
    found = read_schedule("n", table)
    assert found == Schedule(
        name="n",
        class_name="Job",
        queue="low",
        args=(1, {"a": None}),
        cron="0 3 * * MON",
        zone="Europe/Vienna",
        missed="all",
        overlap=False,
        description="d",
    )
    assert found.rule == "0 3 * * MON Europe/Vienna"
    assert read_schedule("n", GOOD).rule == "every 10m00s"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"class": None}, "class: name the class"),
        ({"queue": None}, "queue: queue None is not a str"),
        ({"queue": "a,b"}, "queue: .*cannot be named"),
        ({"every": None}, "every: None is not a duration"),
        ({"every": "0.5s"}, "every: '0.5s' is shorter than a second"),
        ({"every": "soon"}, "every: 'soon' is not a duration"),
        ({"every": "3650d"}, "every: .3650d. is longer than ten years"),
        ({"jitter": "10m"}, "jitter: must be shorter than every"),
        (
            {"every": ..., "cron": "*/5 8-10 * * *", "jitter": "5m"},
            "jitter: must be shorter than what lies between times of cron, 5m00s",
        ),
        ({"every": ..., "jitter": "5m"}, "give cron or every"),
        ({"cron": "* * * * *"}, "give cron or every"),
        ({"cron": "* * * *"}, "cron: '. . . .': not five fields"),
        ({"cron": "61 * * * *"}, "cron: '61 . . . .': bad minute"),
        ({"zone": "Mars/North"}, "zone: 'Mars/North' is not a time zone"),
        ({"zone": "../../etc/passwd"}, "zone: .* is not a time zone"),
        ({"missed": "never"}, "missed: 'never' is none of skip, once, all"),
        ({"overlap": "no"}, "overlap: 'no' is not true or false"),
        ({"args": "x"}, "args: 'x' is not a list"),
        ({"args": [{1, 2}]}, "args: .*set, which JSON cannot hold"),
        ({"evry": 1}, "evry: unknown key"),
    ],
)
def test_what_is_wrong(change: dict[str, object], problem: str) -> None:
    with pytest.raises(WrongScheduleError, match=problem):
        read_schedule("n", {k: v for k, v in (GOOD | change).items() if v is not ...})


def test_a_wrong_schedule_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "resqued.toml"
    file.write_text(
        "[worker]\ninterval = 5\n\n[schedule.good]\nclass = 'A'\nqueue = 'q'\n"
        "every = '1m'\n\n[schedule.'bad one']\nclass = 'A'\nqueue = 'q'\n"
        "cron = '99 * * * *'\n\n[schedule.none]\nclass = 'A'\nqueue = 'q'\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_file(file)
    assert caught.value.problems == (
        f"{file}: line 12: [schedule.bad one] cron: '99 * * * *': bad minute",
        f"{file}: line 14: [schedule.none]: give cron or every, and one of them",
    )


def test_schedules_are_in_the_configuration() -> None:
    tables = {"schedule": {"a": GOOD}, "scheduler": {"dynamic": True}}
    config = build(tables)
    assert config.schedules == (read_schedule("a", GOOD),)
    assert config.has_dynamic_schedules
    for wrong in ({"schedule": []}, {"schedule": {"a": 1}}):
        with pytest.raises(ConfigError, match="schedule"):
            build(wrong)


def test_a_job_declares_its_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurring, "_DECLARED", {})

    @recurring.every("10m", jitter="1m", args=[1])
    @recurring.cron("0 3 * * *", zone="Europe/Vienna", name="night", queue="low")
    @job(queue="q", name="Recurring.archive")
    def archive(number: int = 0) -> None: ...

    assert recurring.declared_schedules() == (
        Schedule(
            "night", "Recurring.archive", "low", cron="0 3 * * *", zone="Europe/Vienna"
        ),
        Schedule(
            "Recurring.archive",
            "Recurring.archive",
            "q",
            args=(1,),
            every=600.0,
            jitter=60.0,
        ),
    )
    with pytest.raises(JobClassError, match="declared already: give it a name="):
        recurring.every("5m")(archive)
    with pytest.raises(JobClassError, match="cron: 'x': not five fields"):
        recurring.cron("x", name="other")(archive)
    with pytest.raises(JobClassError, match="has no queue"):
        recurring.every("5m", name="third")(job(name="Recurring.none")(lambda: None))
    for name in ("Recurring.archive", "Recurring.none"):
        DECLARED.pop(name, None)


@pytest.mark.parametrize("make", [recurring.every, recurring.cron])
def test_a_schedule_needs_its_period(make: Any) -> None:
    with pytest.raises(JobClassError, match=f"write the .*@resqued.{make.__name__}"):
        make(lambda: None)


@pytest.mark.parametrize(
    ("args", "reason"), [((), "missing a required argument"), ((1, 2), "too many")]
)
def test_the_arguments_of_a_schedule_fit_its_job(
    args: tuple[int, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_DECLARED", {})

    @job(queue="q", name="Recurring.needs")
    def needs(number: int) -> None: ...

    with pytest.raises(
        JobClassError, match=rf"Recurring.needs takes .*{reason}.*args="
    ):
        recurring.every("1h", args=args)(needs)
    assert recurring.declared_schedules() == ()


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (
            '{"class":"Ok","every":"1h","queue":"low"}',
            Schedule("tick", "Ok", "low", every=3600.0),
        ),
        (
            '{"every":["30s",{"first_in":"5s"}],"queue":"low","args":{"a":1}}',
            Schedule("tick", "tick", "low", args=(["a", 1],), every=30.0),
        ),
        (
            '{"class":"Ok","cron":"0 3 * * * Europe/Vienna","queue":"low","args":7}',
            Schedule(
                "tick", "Ok", "low", args=(7,), cron="0 3 * * *", zone="Europe/Vienna"
            ),
        ),
        (
            '{"class":"Ok","cron":["*/5 * * * * *"],"queue":"low"}',
            Schedule("tick", "Ok", "low", cron="*/5 * * * * *"),
        ),
        # The last of six fields is no zone, and an expression may have a name.
        (
            '{"class":"Ok","cron":"0 0 9 * * mon-fri","queue":"low"}',
            Schedule("tick", "Ok", "low", cron="0 0 9 * * mon-fri"),
        ),
        (
            '{"class":"Ok","cron":"0 0 9 * * MON Asia/Tokyo","queue":"low"}',
            Schedule("tick", "Ok", "low", cron="0 0 9 * * MON", zone="Asia/Tokyo"),
        ),
        (
            '{"class":"Ok","cron":"0 9 * * 5L","queue":"low"}',
            Schedule("tick", "Ok", "low", cron="0 9 * * 5L"),
        ),
        (
            '{"class":"Ok","every":"1M","queue":"low"}',
            Schedule("tick", "Ok", "low", every=30 * 86_400),
        ),
        (
            '{"class":"Ok","every":["1w2d",{"first_in":"5m"}],"queue":"low"}',
            Schedule("tick", "Ok", "low", every=9 * 86_400),
        ),
        (
            '{"class":"Ok","every":"1h30m","queue":"low"}',
            Schedule("tick", "Ok", "low", every=5_400),
        ),
        (
            '{"class":"Ok","every":90,"queue":"low"}',
            Schedule("tick", "Ok", "low", every=90),
        ),
        (
            '{"class":"Ok","cron":"@daily Europe/Vienna","queue":"low"}',
            Schedule("tick", "Ok", "low", cron="0 0 * * *", zone="Europe/Vienna"),
        ),
    ],
)
def test_schedules_of_resque_scheduler(text: str, schedule: Schedule) -> None:
    assert from_ruby("tick", text.encode()) == schedule


@pytest.mark.parametrize(
    "text", ["", "[]", '{"class":"Ok","every":"1h"}', '{"class":"Ok","queue":"q"}']
)
def test_schedules_of_resque_scheduler_that_cannot_be_used(text: str) -> None:
    with pytest.raises(WrongScheduleError):
        from_ruby("tick", text.encode())
