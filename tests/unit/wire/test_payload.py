"""Jobs and worker records: their bytes, read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resqued.errors import ArgumentError, PayloadError
from resqued.wire import payload, ruby_json, worker_record
from resqued.wire.payload import FailureInfo, Reservation

RUN_AT = "2026-11-23T11:42:35Z"

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
plain = st.none() | st.booleans() | st.integers() | texts
plain |= st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)
# Bytes as queues may hold them: any at all, JSON, and JSON that was damaged.
json_bytes = values.map(lambda value: json.dumps(value).encode())
damaged = st.tuples(json_bytes, st.binary(max_size=3), st.integers(0, 40)).map(
    lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
)
raw_bytes = st.binary(max_size=60) | json_bytes | damaged


@pytest.mark.parametrize(
    ("class_name", "args", "text"),
    [
        (
            "Ok",
            (1, "two", {"k": [None, True]}),
            '{"class":"Ok","args":[1,"two",{"k":[null,true]}]}',
        ),
        ("Ok", (), '{"class":"Ok","args":[]}'),
        ("Nest::In", (7,), '{"class":"Nest::In","args":[7]}'),
        ("my.jobs.Ü", ("é/",), '{"class":"my.jobs.Ü","args":["é/"]}'),
        ("Ok", (1e20, 1.0), '{"class":"Ok","args":[1.0e+20,1.0]}'),
        ("Ok", ((1, 2),), '{"class":"Ok","args":[[1,2]]}'),
    ],
)
def test_a_job_is_written_as_ruby_writes_it(
    class_name: str, args: tuple[object, ...], text: str
) -> None:
    assert payload.encode_job(class_name, args) == text


@given(texts.filter(bool), st.lists(values, max_size=4))
def test_a_job_that_was_written_is_read(class_name: str, args: list[Any]) -> None:
    raw = payload.encode_job(class_name, args).encode()
    assert payload.decode_job(raw) == payload.Payload(class_name, tuple(args), raw)


def test_an_argument_that_json_cannot_hold_is_named() -> None:
    with pytest.raises(ArgumentError) as caught:
        payload.encode_job("Ok", (1, {"when": {3}}))
    assert str(caught.value) == (
        "Ok: argument 2['when'] is a set, which JSON cannot hold"
    )


def test_a_class_name_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ArgumentError, match="its class name has a lone surrogate"):
        payload.encode_job("\ud800", ())


def test_an_accepted_job_is_never_too_deep_for_a_failure_entry() -> None:
    deepest: object = 1
    for _ in range(97):
        deepest = [deepest]
    raw = payload.encode_job("Ok", [deepest]).encode()
    entry = payload.failure(
        FailureInfo("E", "m"), payload=raw, worker="w", queue="q", now=0
    )
    assert ruby_depth(entry) == 100
    with pytest.raises(ArgumentError, match="argument 1 is nested too deep"):
        payload.encode_job("Ok", [[deepest]])


def ruby_depth(text: bytes) -> int:
    """Return how deep the containers of a text without strings in them nest."""
    deepest = depth = 0
    for byte in text:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("null", ()),
        ("[]", ()),
        ("[1,[2]]", (1, [2])),
        ('{"a":1,"b":null}', (["a", 1], ["b", None])),
        ("{}", ()),
        ('"one"', ("one",)),
        ("0", (0,)),
        ("false", (False,)),
    ],
)
def test_arguments_are_read_as_ruby_splats_them(
    args: str, expected: tuple[object, ...]
) -> None:
    raw = f'{{"args":{args},"class":"Ok","id":"x"}}'.encode()
    assert payload.decode_job(raw).args == expected


def test_arguments_may_be_missing() -> None:
    assert payload.decode_job(b'{"class":"Ok"}').args == ()


NO_JOB = [
    (b"", "payload is not JSON: "),
    (b"{nope", "payload is not JSON: "),
    (b'{"class":"Ok","args":[NaN]}', "payload is not JSON: NaN is not JSON"),
    (b'"\xe9"', "payload is not UTF-8: invalid continuation byte at byte 1 (its bytes"),
    (b"null", "payload is not an object but null"),
    (b"true", "payload is not an object but a boolean"),
    (b"5", "payload is not an object but a number"),
    (b"5.5", "payload is not an object but a number"),
    (b'"text"', "payload is not an object but a string"),
    (b"[1]", "payload is not an object but a list"),
    (b"{}", "payload names no class"),
    (b'{"class":null}', "payload names no class"),
    (b'{"class":""}', "payload names no class"),
    (b'{"class":5}', "payload names no class"),
]


@pytest.mark.parametrize(("raw", "message"), NO_JOB, ids=[str(r) for r, _ in NO_JOB])
def test_what_is_no_job_is_told(raw: bytes, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        payload.decode_job(raw)
    assert str(caught.value).startswith(message)
    assert payload.class_of(raw) == "<Unknown Job>"


@given(raw_bytes)
@example(b'{"class":"A","args":' + b"[" * 992 + b'"\\u0041"' + b"]" * 992 + b"}")
def test_any_bytes_are_a_job_or_told_to_be_none(raw: bytes) -> None:
    try:
        assert payload.decode_job(raw).class_name == payload.class_of(raw)
    except PayloadError:
        # It is not decoded, so what is wrong with the rest does not matter.
        assert payload.class_of(raw)


def test_a_long_class_name_is_cut_for_titles_and_messages() -> None:
    raw = payload.encode_job("é" * 5000, ()).encode()
    assert payload.class_of(raw) == "é" * 200 + "…"


# What stands in other texts


def refused(text: str) -> str:
    """What a failure holds of an element that is no job."""
    return f'{{"class":"Resqued::PayloadError","args":[{text}]}}'


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (
            b'{ "class":"A", "a": [1e3, 1.10, "\\u00e9\\/"] }',
            '{"class":"A","a":[1000.0,1.1,"é/"]}',
        ),
        (b'{"class":"A","b":2,"class":"C"}', '{"class":"C","b":2}'),
        (b"12345678901234567890", refused('"12345678901234567890"')),
        (b'"text"', refused('"\\"text\\""')),
        (b"null", refused('"null"')),
        (b"true", refused('"true"')),
        (b'[{"class":"A"}]', refused('"[{\\"class\\":\\"A\\"}]"')),
        (b"{}", refused('"{}"')),
        (b'{"class":5}', refused('"{\\"class\\":5}"')),
        (b"{nope", refused('"{nope"')),
        (b"", refused('""')),
        (b"[1e999]", refused('"[1e999]"')),
        (b'["\\ud83d"]', refused('"[\\"\\\\ud83d\\"]"')),
        (b'{"caf\xe9":1}', refused('"{\\"caf\xe9\\":1}"')),
        (b"[" * 100 + b"]" * 100, refused(f'"{"[" * 100}{"]" * 100}"')),
    ],
)
def test_a_payload_is_made_readable(raw: bytes, text: str) -> None:
    assert payload.readable(raw) == text


def large(args: bytes) -> bytes:
    """A payload that is too long to be decoded outside of a child."""
    return b' {"args":[%s,"%s"],"class":"A"}\n' % (args, b"x" * 70_000)


@pytest.mark.parametrize(
    "args",
    [
        b"[[],1e3]",
        b'"\\ud83d\\ude00"',
        b"[" * 97 + b"]" * 97,
        # Brackets in a text are no nesting.
        b'"' + b"[" * 200 + b'\\""',
    ],
)
def test_a_large_job_stays_as_it_is(args: bytes) -> None:
    raw = large(args)
    assert payload.class_of(raw) == "A"
    assert payload.readable(raw) == raw.decode().strip()


@pytest.mark.parametrize(
    "args",
    [b"NaN", b"[1,]", b'"\xff"', b'"\\ud83d"', b'"\\ude00"', b"[" * 98 + b"]" * 98],
)
def test_a_large_text_that_is_no_job_is_kept_as_text(args: bytes) -> None:
    kept = json.loads(payload.readable(large(args)))
    assert kept["class"] == payload.PAYLOAD_ERROR
    assert kept["args"][0].encode("latin-1" if b"\xff" in args else "utf-8") == large(
        args
    )


def test_no_failure_grows_beyond_what_redis_holds() -> None:
    text = payload.readable(b"\x01" * 5_000_000)
    assert len(text) < 7_000_000
    assert text.endswith('… (5000000 characters)"]}')


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([], "payload was no job when it was first taken: ''"),
        (["{nope"], "payload was no job when it was first taken: '{nope'"),
        (["head", "payload of 9 bytes is longer"], "payload of 9 bytes is longer"),
    ],
)
def test_a_payload_that_stands_for_none_is_refused(
    args: list[str], reason: str
) -> None:
    text = payload.encode_job(payload.PAYLOAD_ERROR, args).encode()
    assert payload.refusal(payload.decode_job(text)) == reason
    assert payload.refusal(payload.decode_job(b'{"class":"A"}')) is None
    entry = b'{"queue":"q","payload":' + text + b"}"
    with pytest.raises(PayloadError, match="was no job"):
        payload.retry_job(entry)


def test_the_size_of_a_payload_is_that_of_its_bytes() -> None:
    payload.check_size("é" * 50, 100, "A")
    with pytest.raises(ArgumentError, match=r"A: payload of 102 bytes .* 100 bytes"):
        payload.check_size("é" * 51, 100, "A")


@given(raw_bytes)
@example(b'[{"a":1e999}]')
@example(b"[" * 992 + b'"\\ud800"' + b"]" * 992)
def test_whatever_is_made_readable_is_strict_json_in_utf8(raw: bytes) -> None:
    text = payload.readable(raw).encode("utf-8")
    assert json.loads(text, parse_constant=refuse) == ruby_json.decode(text)


@given(st.binary(max_size=60))
def test_readable_text_tells_the_bytes(raw: bytes) -> None:
    value = ruby_json.decode(payload.readable(raw))
    if value["class"] != payload.PAYLOAD_ERROR:
        assert value == ruby_json.decode(raw)
        return
    (kept,) = value["args"]
    try:
        assert kept == raw.decode("utf-8")
    except UnicodeDecodeError:
        assert kept.encode("latin-1") == raw


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


# Worker records


def cjson_string(raw: bytes) -> bytes:
    """Write a string as the cjson of the server does: bytes as they are."""
    short = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}
    short |= {34: b'\\"', 47: b"\\/", 92: b"\\\\"}

    def escaped(byte: int) -> bytes:
        is_control = byte < 32 or byte == 127
        plain = b"\\u%04x" % byte if is_control else bytes([byte])
        return short.get(byte, plain)

    return b'"' + b"".join(map(escaped, raw)) + b'"'


def record(raw: bytes, *, wrap: bool, queue: str = "default") -> bytes:
    """Put a payload into a record as reserve.lua does."""
    held = cjson_string(raw) if wrap else raw
    head = f'{{"queue":{ruby_json.quote(queue)},"run_at":"{RUN_AT}","payload":'
    return head.encode() + held + b"}"


@given(raw_bytes, texts)
@example(b'{"class":"A","args":[],"payload":{}}', "a")
@example(b'"\xff\x00\\ud800/\x7f', 'a","payload":"b\\')
@example(b"\xed\xa0\x80\xed\xb0\x80", "a")
def test_a_record_gives_the_payloads_very_bytes(raw: bytes, queue: str) -> None:
    # The script wraps what is not JSON, and every text that begins as a string.
    assert worker_record.decode_held(
        record(raw, wrap=True, queue=queue)
    ) == Reservation(queue, RUN_AT, raw)
    if not raw.lstrip().startswith(b'"'):
        assert worker_record.decode_held(
            record(raw, wrap=False, queue=queue)
        ) == Reservation(queue, RUN_AT, raw)


NODE_RUN_AT = "Mon Nov 23 2026 12:01:44 GMT+0000 (Coordinated Universal Time)"
NODE_JOB = '{"class":"Ok","args":{},"queue":"mail"}'
# The server's cjson fixes no order of keys.
NODE_RECORD = '{"run_at":"%s","worker":"h:1","payload":%s,"queue":"mail"}'
NODE_RECORD_2 = '{"queue":"mail","run_at":"%s","payload":%s,"worker":"h:1"}'


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (
            NODE_RECORD % (NODE_RUN_AT, NODE_JOB),
            Reservation("mail", NODE_RUN_AT, NODE_JOB.encode()),
        ),
        (
            NODE_RECORD_2 % (NODE_RUN_AT, NODE_JOB),
            Reservation("mail", NODE_RUN_AT, NODE_JOB.encode()),
        ),
        (
            '{"queue": "q", "run_at": 1795435304, "payload": {"class": "a.B"}}',
            Reservation("q", "1795435304", b'{"class":"a.B"}'),
        ),
        ('{"queue":null,"payload":null}', Reservation("", "", b"null")),
        ('{"payload":"text"}', Reservation("", "", b'"text"')),
        (
            f'{{"queue":"q","run_at":"{RUN_AT}","payload":"text"}}',
            Reservation("q", RUN_AT, b"text"),
        ),
        # Neither JSON nor wrapped: as it stands there.
        (
            f'{{"queue":"q","run_at":"{RUN_AT}","payload":"text}}',
            Reservation("q", RUN_AT, b'"text'),
        ),
    ],
)
def test_records_of_other_writers_are_read(text: str, held: Reservation) -> None:
    assert worker_record.decode_held(text.encode()) == held


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{nope",
        b'{"queue":"q"}',
        b'{"queue":"q\xff","run_at":"2026-11-23T11:42:35Z","payload":1}',
        b'{"payload":{"class":"Ok","args":[1e999]}}',
    ],
)
def test_a_record_without_a_payload_is_told(text: bytes) -> None:
    with pytest.raises(PayloadError, match="worker record"):
        worker_record.decode_held(text)


@given(raw_bytes | damaged.map(lambda raw: b'{"queue":"q","payload":' + raw + b"}"))
def test_any_record_is_read_or_told_to_be_none(text: bytes) -> None:
    try:
        held = worker_record.decode_held(text)
    except PayloadError:
        return
    json.loads(payload.readable(held.payload), parse_constant=refuse)
