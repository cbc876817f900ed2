"""What doctor says of jobs and failures that wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from resqued.diagnostics.checks import Verdict
from resqued.diagnostics.waiting_checks import LATE, LONG, WaitingFacts, judge
from resqued.store.delayed import PAGE
from resqued.store.outbox import OutboxState

NOW = 1_800_000_000.0
NOTHING = WaitingFacts(NOW)
SOME = WaitingFacts(
    NOW,
    delayed=3,
    next_at=NOW + 60,
    retries=2,
    next_retry_at=NOW + 120,
    retry_error="OSError: no\nroute",
)


def at(age: float) -> datetime:
    return datetime.fromtimestamp(NOW - age, UTC)


def lines(facts: WaitingFacts) -> list[tuple[str, str]]:
    return [(found.verdict.value, found.text) for found in judge(facts)]


def test_nothing_waits() -> None:
    assert lines(NOTHING) == [("ok", "no job waits for a time")]


def test_delayed_jobs_and_retries_are_counted() -> None:
    text = (
        "3 jobs delayed, the next one in 1m00s; 2 of them wait for another attempt,"
        " the next one in 2m00s after OSError: no route"
    )
    assert lines(SOME) == [("ok", text)]
    many = replace(NOTHING, delayed=PAGE, next_at=NOW - 1)
    assert lines(many) == [("ok", "200 jobs or more delayed, the next one now")]


def test_jobs_that_were_set_aside_are_a_warning() -> None:
    facts = replace(NOTHING, quarantined=2, quarantined_at=NOW - 3600, killer="Boom")
    _, (verdict, text) = lines(facts)
    assert verdict == "warning"
    assert text.startswith("2 jobs set aside, the last one of Boom 1h00m ago: ")


@pytest.mark.parametrize(
    ("outbox", "verdict", "text"),
    [
        (OutboxState("sentry", 0), "ok", "sentry: 0 failures to deliver"),
        (OutboxState("sentry", 9, at(LATE - 1)), "ok", "sentry: 9 failures to deliver"),
        (
            OutboxState("sentry", 9, at(LATE)),
            "warning",
            "sentry has not taken 9 failures; the oldest waits for 5m00s",
        ),
        (
            OutboxState("webhook", LONG, None),
            "warning",
            "webhook has not taken 1000 failures",
        ),
        (
            OutboxState("log", 1, at(60), dropped=7),
            "warning",
            "log has not taken 1 failure; the oldest waits for 1m00s; 7 failures lost",
        ),
    ],
)
def test_an_outbox_that_is_long_or_old_is_a_warning(
    outbox: OutboxState, verdict: str, text: str
) -> None:
    _, found = judge(replace(NOTHING, outboxes=[outbox]))
    assert (found.verdict, found.text) == (Verdict(verdict), text)
    named = f"resqued:outbox:{outbox.backend}"
    assert (named in found.remedy) == (verdict == "warning")
