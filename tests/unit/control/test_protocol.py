"""What is said on the control socket: every type, there and back."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, inspect

from resqued.control import protocol
from resqued.control.protocol import (
    ORDERS,
    AnyRequest,
    BadMessageError,
    DrainRequest,
    ErrorReply,
    JobLimits,
    KillRequest,
    PauseRequest,
    PoolJob,
    PoolWorker,
    ReloadRequest,
    Reply,
    StatusRequest,
)

# Half of a surrogate pair as well: what Python has for bytes that are no UTF-8.
TEXTS = st.text(st.characters(codec="utf-8") | st.just("\udcff"), max_size=20)
COUNTS = st.from_regex(r"^[+-]?[0-9]{1,9}\Z")


def values_of(  # noqa: PLR0911 - a return for each kind of type
    kind: inspect.Type,
) -> st.SearchStrategy[Any]:
    """Return values of a type that a field has."""
    match kind:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**63), 2**63)
        case inspect.FloatType():
            return st.floats(min_value=kind.ge, allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return COUNTS if kind.pattern else TEXTS
        case inspect.VarTupleType():
            return st.lists(values_of(kind.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(TEXTS, values_of(kind.value_type), max_size=3)
        case inspect.UnionType():
            # Of a field that may be unset its default says so.
            types = [t for t in kind.types if "Unset" not in type(t).__name__]
            return st.one_of(*map(values_of, types))
        case inspect.StructType():
            return messages(kind.cls)
    raise AssertionError(f"nothing here makes values of {kind}")


@cache
def messages(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Return messages of a type, with and without the fields that have defaults."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    needed, free = {}, {}
    for each in info.fields:
        (needed if each.required else free)[each.name] = values_of(each.type)
    made = st.fixed_dictionaries(needed, optional=free)
    if kind is KillRequest:
        made = made.filter(is_of_one_kind)
    return made.map(lambda values: kind(**values))


def is_of_one_kind(values: dict[str, Any]) -> bool:
    return (values.get("who") is None) != (values.get("older") is None)


def reply_of(request: type[AnyRequest]) -> type[Reply]:
    """Return the type of the replies to a request, as its class says it."""
    (base,) = request.__orig_bases__  # type: ignore[union-attr]
    (kind,) = get_args(base)
    assert issubclass(kind, Reply)
    return kind


REQUESTS = st.sampled_from(get_args(AnyRequest)).flatmap(messages)


@given(REQUESTS)
def test_every_request_is_the_same_on_the_other_side(request: AnyRequest) -> None:
    line = protocol.encode_request(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert protocol.decode_request(line) == request


@given(st.data())
@pytest.mark.parametrize("order", ORDERS)
def test_every_reply_is_the_same_on_the_other_side(order: str, data: Any) -> None:
    request = data.draw(messages(ORDERS[order]))
    reply = data.draw(messages(reply_of(ORDERS[order])))
    line = protocol.encode_reply(reply)
    assert json.loads(line)["ok"] is True
    assert protocol.decode_reply(line, request) == reply
    # What `--json` prints is what the master has sent.
    values = json.loads(line)
    del values["ok"]
    assert json.dumps(protocol.as_dict(reply)) == json.dumps(values)


@given(messages(ErrorReply))
def test_an_error_is_the_same_on_the_other_side(reply: ErrorReply) -> None:
    line = protocol.encode_reply(reply)
    assert json.loads(line)["ok"] is False
    assert protocol.decode_reply(line, PauseRequest()) == reply


@given(REQUESTS, st.text(min_size=1))
def test_a_request_with_a_field_too_many_is_none(request: AnyRequest, key: str) -> None:
    values = protocol.as_dict(request)
    fields = {field.encode_name for field in msgspec.structs.fields(request)}
    assume(key not in {"do", *fields})
    with pytest.raises(BadMessageError, match="unknown field"):
        protocol.decode_request(json.dumps({**values, key: 1}).encode())


FIELDS = st.sampled_from(["do", "who", "older", "children", "wait", "x"]) | TEXTS
ODD_VALUES = st.sampled_from(sorted(ORDERS)) | TEXTS | st.lists(TEXTS, max_size=2)


@given(st.dictionaries(FIELDS, ODD_VALUES))
def test_what_is_decoded_is_of_the_type_that_was_named(values: dict[str, Any]) -> None:
    with suppress(BadMessageError):
        request = protocol.decode_request(json.dumps(values).encode())
        assert isinstance(request, ORDERS[values["do"]])


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b'{"do": "status"}\n', StatusRequest()),
        (b'{"do": "status", "usage": true}\n', StatusRequest(usage=True)),
        (b'{"do": "kill", "older": 1.5, "children": [7]}\n',
         KillRequest(older=1.5, children=(7,))),
        (b'{"do": "kill", "who": "\\udcff"}\n', KillRequest(who="\udcff")),
        (b'{"do": "reload", "wait": true}\n', ReloadRequest(wait=True)),
    ],
)  # fmt: skip
def test_a_request_is_a_line_of_json(line: bytes, request_: AnyRequest) -> None:
    assert protocol.encode_request(request_) == line
    assert protocol.decode_request(line) == request_


def test_a_field_that_is_null_is_as_if_it_were_not_there() -> None:
    line = b'{"do":"kill","who":"a","older":null,"children":null}'
    assert protocol.decode_request(line) == KillRequest(who="a")


WORKER = {
    "id": "h:1:q",
    "pid": 1,
    "queues": "q",
    "generation": 1,
    "phase": "waiting",
    "quits": False,
    "since": 1.5,
    "done": 2,
    "failed": 0,
    "child": None,
    "job": None,
}
JOB = {"child": 2, "job": {"queue": "q", "class": "Nap"}}


@pytest.mark.parametrize(
    "values",
    [
        WORKER,
        {**WORKER, "pid": None, "since": None},
        {**WORKER, **JOB, "limits": None},
        {**WORKER, **JOB, "limits": {"runtime": 0.0, "memory": None}},
        {**WORKER, "cpu": 0.5, "memory": 4096},
        {**WORKER, **JOB, "limits": None, "cpu": 0.0, "memory": 0},
    ],
)
def test_a_worker_has_the_fields_that_were_sent(values: dict[str, Any]) -> None:
    worker = msgspec.convert(values, PoolWorker)
    assert json.dumps(protocol.as_dict(worker)) == json.dumps(values)
    assert worker.limits is UNSET or "limits" in values
    assert worker.job is None or worker.job == PoolJob(queue="q", class_name="Nap")


def test_limits_are_in_seconds_and_bytes() -> None:
    values = {**WORKER, **JOB, "limits": {"runtime": 60, "memory": 1 << 20}}
    worker = msgspec.convert(values, PoolWorker)
    assert worker.limits == JobLimits(runtime=60.0, memory=1 << 20)


def test_what_a_newer_master_adds_to_a_reply_is_passed_over() -> None:
    line = b'{"ok": true, "mood": "good"}\n'
    assert protocol.decode_reply(line, PauseRequest()) == Reply()
    line = b'{"ok": false, "error": "no", "mood": "bad"}\n'
    assert protocol.decode_reply(line, PauseRequest()) == ErrorReply(error="no")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "expected a line of JSON"),
        (b"[true]", "expected an object"),
        (b"{}", "has no `ok`"),
        (b'{"ok": 1}', "has no `ok`"),
        (b'{"ok": false}', "`reply`: object missing required field `error`"),
        (b'{"ok": true}', "`reply`: object missing required field `pid`"),
        (b'{"ok": true, "pid": "1"}', "`reply.pid`: expected `int`, got `str`"),
    ],
)
def test_what_is_no_reply_says_so(line: bytes, reason: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        protocol.decode_reply(line, StatusRequest())
    assert reason in str(caught.value)


def test_replies_that_wait_are_known() -> None:
    assert protocol.is_awaited(DrainRequest(wait=True))
    assert protocol.is_awaited(ReloadRequest(wait=True))
    assert protocol.is_awaited(ReloadRequest(master=True))
    for request in (DrainRequest(), ReloadRequest(), StatusRequest(), PauseRequest()):
        assert not protocol.is_awaited(request)


def test_no_field_has_a_name_that_the_log_has() -> None:
    """They stand beside each other in `order_received`."""
    fields = {f.name for kind in ORDERS.values() for f in msgspec.structs.fields(kind)}
    assert not fields & {"event", "level", "timestamp", "order", "sent_by", "role"}
    assert not fields & {"pid", "do", "self"}
