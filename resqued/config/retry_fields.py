"""The keys of the section [retry]."""

from __future__ import annotations

from resqued.config import readers
from resqued.config.field import Field
from resqued.core.retry import MOST_TIMES
from resqued.core.worker_death import ACTIONS, MOST_DEATHS, QUARANTINE_AFTER

RETRY_FIELDS = (
    Field(
        "retry",
        "times",
        readers.whole(0, MOST_TIMES),
        0,
        "how often a failed job is tried again that declares no retry; 0: never",
    ),
    Field(
        "retry",
        "delay",
        readers.long_duration,
        10.0,
        "time between the first attempt of a job and the second; 0: at once",
        '"10s"',
    ),
    Field(
        "retry",
        "factor",
        readers.number(0.001, 1000),
        2.0,
        "by what each further delay is longer than the one before",
        "2.0",
    ),
    Field(
        "retry",
        "jitter",
        readers.number(0, 1),
        0.1,
        "share of a delay by which it is longer or shorter by chance, 0 to 1",
        "0.1",
    ),
    Field(
        "retry",
        "max_delay",
        readers.long_duration,
        86_400.0,
        "longest delay between two attempts",
        '"1d"',
    ),
    Field(
        "retry",
        "on",
        readers.exceptions,
        ("Exception",),
        "exceptions after which a job is tried again, with those derived from them",
        '["Exception"]',
    ),
    Field(
        "retry",
        "unless",
        readers.exceptions,
        (),
        "exceptions after which it is not, although `on` has them",
        '["ValueError"]',
    ),
    Field(
        "retry",
        "within",
        readers.long_duration,
        0.0,
        "time from the first attempt in which the next must be due; 0: any",
        '"1h"',
    ),
    Field(
        "retry",
        "on_worker_death",
        readers.choice(ACTIONS),
        "fail",
        "jobs whose worker dies: fail, retry (after the delay) or requeue (at once)",
    ),
    Field(
        "retry",
        "quarantine_after",
        readers.whole(0, MOST_DEATHS),
        QUARANTINE_AFTER,
        "deaths of child or worker in a row that set a job aside; 0: none do",
    ),
    Field(
        "retry",
        "record",
        readers.choice(("last", "all")),
        "last",
        "attempts that go to the failed list: last or all",
    ),
)
# The keys that may also be set for a class of jobs and for a queue.
RETRIES = {field.key: field for field in RETRY_FIELDS if field.key != "record"}
