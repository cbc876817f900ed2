"""An event of the log as a record of the journal, and as a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resqued.core.redaction import HIDDEN, arguments
from resqued.log import logger
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


# What a producer may put into the names of a class and of a queue.
NASTY = "a\x1b[31mb\r\0\x9b\u202e\udcff\nc"
PLAIN = "a\\x1b[31mb\\r\\x00\\x9b\\u202e\\udcff\\nc"


def test_a_record_of_the_journal_holds_any_text() -> None:
    event = {"level": "error", "event": "job_failed", "job_class": "a\udcff\x1b"}
    made = record(event)
    assert made["RESQUED_CLASS"] == "a\\udcff\x1b"
    for value in made.values():
        value.encode("utf-8")


@pytest.mark.parametrize("value", [NASTY, [NASTY], Path(NASTY.replace("\0", ""))])
def test_a_line_of_logfmt_has_nothing_that_acts_on_a_terminal(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "_config", logger._LogConfig())
    reading, writing = os.pipe()
    logger.configure(style="logfmt", fd=writing)
    logger.get(queue=value).error("job_failed", worker=None, seconds=1.5)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        text = file.read().decode("ascii")
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert " seconds=1.5" in text
    if value is NASTY:
        assert PLAIN.replace("\\", "\\") in text
