"""Failure entries and the times in them: what is written, and what a retry makes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.errors import PayloadError
from resqued.store.failures import Failure
from resqued.wire import payload, timestamps
from resqued.wire.payload import FailureInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1795434155.9

any_text = st.text(max_size=20)
json_bytes = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
raw_bytes = st.binary(max_size=40) | json_bytes


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the time zone of this process."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


SEVEN = ["failed_at", "payload", "exception", "error", "backtrace", "worker", "queue"]


def failure(raw: bytes, fault: FailureInfo | None = None) -> bytes:
    return payload.failure(
        fault or FailureInfo("ValueError", "bad thing", ("one", "two")),
        payload=raw,
        worker="h:1:default",
        queue="default",
        now=NOW,
    )


def fields(entry: bytes) -> dict[str, Any]:
    value = json.loads(entry.decode("utf-8"), parse_constant=refuse)
    assert isinstance(value, dict)
    return value


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_a_failure_has_rubys_bytes(zone: Callable[[str], None]) -> None:
    zone("UTC")
    assert failure(b'{"class": "Boom", "args": [1]}') == (
        b'{"failed_at":"2026/11/23 11:42:35 UTC"'
        b',"payload":{"class":"Boom","args":[1]}'
        b',"exception":"ValueError","error":"bad thing","backtrace":["one","two"]'
        b',"worker":"h:1:default","queue":"default"}'
    )


@given(raw_bytes, any_text, any_text, st.lists(any_text, max_size=3))
def test_a_failure_is_strict_json_in_rubys_order(
    raw: bytes, exception: str, error: str, backtrace: list[str]
) -> None:
    entry = failure(raw, FailureInfo(exception, error, tuple(backtrace)))
    found = fields(entry)
    assert list(found) == SEVEN
    assert all(isinstance(line, str) for line in found["backtrace"])
    assert payload.decode_failure(entry) == found


LONG = {
    "one long message": ("x" * 10_000_000, ()),
    "many lines": ("x" * 10_000_000, ("y" * 100,) * 100_000),
    "one long line": ("", ("y" * 10_000_000,)),
    "empty lines": ("", ("",) * 200_000),
    "short lines": ("", ("y",) * 200_000),
}


@pytest.mark.parametrize(("error", "backtrace"), LONG.values(), ids=LONG)
def test_an_entry_stays_small(error: str, backtrace: tuple[str, ...]) -> None:
    assert len(failure(b"1", FailureInfo("E", error, backtrace))) <= 80_000


def test_a_long_message_says_how_long_it_was() -> None:
    error = fields(failure(b"1", FailureInfo("E", "x" * 16_001)))["error"]
    assert error == "x" * 16_000 + " … (16001 characters)"
    assert (
        fields(failure(b"1", FailureInfo("E", "é" * 16_000)))["error"] == "é" * 16_000
    )


def test_a_long_backtrace_keeps_its_head_and_its_tail() -> None:
    lines = [f"{number:06} {'x' * 93}" for number in range(10_000)]
    found = fields(failure(b"1", FailureInfo("E", "m", tuple(lines))))["backtrace"]
    gap = next(i for i, line in enumerate(found) if line.startswith("  … "))
    assert found[gap] == f"  … {10_000 - len(found) + 1} lines left out …"
    assert found[:gap] == lines[:gap]
    assert found[gap + 1 :] == lines[gap + 1 - len(found) :]
    assert abs(gap - (len(found) - gap - 1)) <= 1


def test_a_long_line_is_cut_and_no_line_is_said_to_be_missing() -> None:
    found = fields(failure(b"1", FailureInfo("E", "m", ("a", "x" * 50_000))))[
        "backtrace"
    ]
    assert found == ["a", "x" * 2_000 + " … (50000 characters)"]


def test_a_short_backtrace_is_kept_whole() -> None:
    lines = tuple("x" * 2_500 for _ in range(15))
    assert fields(failure(b"1", FailureInfo("E", "", lines)))["backtrace"] == list(
        lines
    )


# Retries

BOOM = b'{"failed_at":"2026/11/23 00:00:00 UTC","payload":%s,"queue":"mail"%s}'


@pytest.mark.parametrize(
    ("held", "job"),
    [
        (b'{"class":"Boom","args":[1],"id":"z"}', '{"class":"Boom","args":[1]}'),
        (b'{"args":["\xc3\xa9"],"class":"A::B"}', '{"class":"A::B","args":["é"]}'),
        (b'{"class":"a.B"}', '{"class":"a.B","args":[]}'),
        (b'{"class":"a.B","args":null}', '{"class":"a.B","args":[]}'),
        (b'{"class":"a.B","args":0}', '{"class":"a.B","args":[0]}'),
        (b'{"class":"a.B","args":""}', '{"class":"a.B","args":[""]}'),
        (b'{"class":"a.B","args":{"k":1}}', '{"class":"a.B","args":[["k",1]]}'),
        (b'{"class":"a.B","args":[1e20]}', '{"class":"a.B","args":[1.0e+20]}'),
    ],
)
def test_a_retry_enqueues_class_and_arguments(held: bytes, job: str) -> None:
    assert payload.retry_job(BOOM % (held, b"")) == ("mail", job)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"null",
        b"{}",
        BOOM % (b"null", b""),
        BOOM % (b'"text"', b""),
        BOOM % (b"{}", b""),
        BOOM % (b'{"class":""}', b""),
        BOOM % (b'{"class":5}', b""),
        BOOM % (b'{"class":"A"}', b',"queue":null'),
        BOOM % (b'{"class":"A"}', b',"queue":""'),
        BOOM % (b'{"class":"A","args":[1e999]}', b""),
        BOOM % (b'{"class":"A","args":%s}' % (b"[" * 99 + b"]" * 99), b""),
    ],
)
def test_what_holds_no_job_cannot_be_retried(entry: bytes) -> None:
    with pytest.raises(PayloadError):
        payload.retry_job(entry)


def test_a_retry_is_marked_at_the_end_of_the_entry(
    zone: Callable[[str], None],
) -> None:
    zone("America/New_York")
    entry = BOOM % (b'{"class": "A", "id": 1e3}', b"")
    once = payload.retried(entry, NOW)
    assert once == BOOM % (
        b'{"class":"A","id":1000.0}',
        b',"retried_at":"2026/11/23 06:42:35 EST"',
    )
    twice = payload.retried(once, NOW + 60)
    assert twice == once.replace(b"06:42:35", b"06:43:35")


@pytest.mark.parametrize("entry", [b"x", b"[]", b"\xff", b'{"error":1e999}'])
def test_what_is_no_failure_cannot_be_marked(entry: bytes) -> None:
    with pytest.raises(PayloadError):
        payload.retried(entry, NOW)


# Times


@pytest.mark.parametrize(
    ("name", "failed_at", "started", "heartbeat"),
    [
        (
            "UTC",
            "2026/11/23 11:42:35 UTC",
            "2026-11-23 11:42:35 +0000",
            "2026-11-23T11:42:35+00:00",
        ),
        (
            "America/New_York",
            "2026/11/23 06:42:35 EST",
            "2026-11-23 06:42:35 -0500",
            "2026-11-23T06:42:35-05:00",
        ),
        (
            "Asia/Dubai",
            "2026/11/23 15:42:35 +04",
            "2026-11-23 15:42:35 +0400",
            "2026-11-23T15:42:35+04:00",
        ),
        (
            "Asia/Kolkata",
            "2026/11/23 17:12:35 IST",
            "2026-11-23 17:12:35 +0530",
            "2026-11-23T17:12:35+05:30",
        ),
    ],
)
def test_times_are_written_in_the_zone_of_the_process(
    zone: Callable[[str], None],
    name: str,
    failed_at: str,
    started: str,
    heartbeat: str,
) -> None:
    zone(name)
    assert timestamps.failed_at(NOW) == failed_at
    assert timestamps.started(NOW) == started
    assert timestamps.heartbeat(NOW) == heartbeat
    assert timestamps.run_at(NOW) == "2026-11-23T11:42:35Z"


# As a Failure, which is what the library returns


ENTRY = (
    b'{"failed_at":"2026/11/27 22:58:27 UTC","payload":{"class":"Boom","args":[1,"a"]},'
    b'"exception":"ValueError","error":"bad thing","backtrace":["one","two"],'
    b'"worker":"host:7:low","queue":"low","retried_at":"2026/11/28 22:58:27 UTC"}'
)


def test_a_failure_has_what_the_entry_says():
    found = Failure(ENTRY)
    assert (found.queue, found.class_name, found.args) == ("low", "Boom", (1, "a"))
    assert (found.exception, found.error) == ("ValueError", "bad thing")
    assert (found.backtrace, found.worker) == (("one", "two"), "host:7:low")
    assert found.failed_at == "2026/11/27 22:58:27 UTC"
    assert (found.retried_at, found.is_retried) == ("2026/11/28 22:58:27 UTC", True)
    assert list(found.as_dict()) == [*json.loads(ENTRY), "id"]


@pytest.mark.parametrize(
    "entry", [b"{}", b"[]", b"nope", b'{"payload":[],"error":null}']
)
def test_an_entry_that_is_no_failure_has_empty_fields(entry):
    found = Failure(entry)
    texts = (found.queue, found.exception, found.error, found.worker)
    assert {*texts, found.failed_at, found.retried_at} == {""}
    assert (found.args, found.backtrace, found.is_retried) == ((), (), False)
    assert found.class_name == "<Unknown Job>"


def test_a_failure_is_decoded_once(monkeypatch):
    calls = []
    decode = payload.decode_failure
    monkeypatch.setattr(
        payload, "decode_failure", lambda entry: calls.append(entry) or decode(entry)
    )
    for entry in (ENTRY, b"nope"):
        calls.clear()
        found = Failure(entry)
        assert calls == [], "it is decoded though nobody has asked"
        texts = {found.error, found.queue, found.class_name, str(found.as_dict())}
        assert len(texts) > 1
        assert calls == [entry]


def test_failures_are_equal_by_their_bytes():
    one, other = Failure(ENTRY, 1), Failure(ENTRY, 2)
    assert one.error
    assert one == other
    assert len({one, other, Failure(b"{}")}) == 2
