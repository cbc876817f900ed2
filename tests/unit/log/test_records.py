"""An event of the log as a record of the journal, and as a sentence."""

from __future__ import annotations

import pytest

from resqued.core.redaction import HIDDEN, arguments
from resqued.log.journal_fields import read_line, record, sentence

EVENT = {
    "event": "job_failed",
    "level": "warning",
    "timestamp": "now",
    "role": "worker",
    "pid": 12,
    "worker": "h:12:mail",
    "queue": "mail",
    "job_class": "Archive",
    "job_id": None,
    "error": "no\nroom",
    "some-thing": 'a "b"',
    "pathname": "/x/display.py",
    "lineno": 7,
    "func_name": "ended",
}


def test_an_event_becomes_a_record_with_fields_to_search_for() -> None:
    assert record(EVENT) == {
        "MESSAGE": r"job_failed role=worker pid=12 worker=h:12:mail queue=mail"
        r' job_class=Archive error="no\nroom" some-thing="a \"b\""',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "resqued",
        "RESQUED_EVENT": "job_failed",
        "RESQUED_ROLE": "worker",
        "RESQUED_PID": "12",
        "RESQUED_WORKER": "h:12:mail",
        "RESQUED_QUEUE": "mail",
        "RESQUED_CLASS": "Archive",
        "RESQUED_ERROR": "no\nroom",
        "RESQUED_SOME_THING": 'a "b"',
        "CODE_FILE": "/x/display.py",
        "CODE_LINE": "7",
        "CODE_FUNC": "ended",
    }


def test_what_a_job_says_is_the_message() -> None:
    said = {"event": "output", "level": "error", "message": "hello", "stream": "stdout"}
    assert record(said) == {
        "MESSAGE": "hello",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "resqued",
        "RESQUED_EVENT": "output",
        "RESQUED_STREAM": "stdout",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        (["a", 1], "\"['a', 1]\""),
        (1.5, "1.5"),
    ],
)
def test_values_in_a_sentence(value: object, text: str) -> None:
    assert sentence({"event": "e", "x": value}) == f"e x={text}"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hello", ("info", "hello")),
        ("<3>broken", ("error", "broken")),
        ("<4>hm", ("warning", "hm")),
        ("<7>detail", ("debug", "detail")),
        ("<8>no priority", ("info", "<8>no priority")),
        ("", ("info", "")),
    ],
)
def test_a_line_may_say_its_priority(line: str, told: tuple[str, str]) -> None:
    assert read_line(line) == told


def test_arguments_are_shown_by_name_without_what_is_secret() -> None:
    args = [7, "hunter2", {"Token": "t", "to": [{"password": {"a": 1}}]}, "more"]
    assert arguments(
        ("user", "PIN", "options"), args, ("pin", "token", "password")
    ) == {
        "user": "7",
        "PIN": HIDDEN,
        "options": repr({"Token": HIDDEN, "to": [{"password": HIDDEN}]}),
        "3": "more",
    }


def test_a_long_argument_is_cut() -> None:
    shown = arguments(("text",), ["x" * 10_000], ())
    assert shown["text"] == "x" * 500 + "…"
