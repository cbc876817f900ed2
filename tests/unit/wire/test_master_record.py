"""Records of masters: what stands in them, and what is made of others' records."""

from __future__ import annotations

import json

import pytest

from resqued.wire import master_record
from resqued.wire.master_record import (
    MasterRecord,
    RecordedLimits,
    RecordedPool,
    RecordedReload,
    decode,
    encode,
)

POOL = RecordedPool(
    name="critical,a:b,!low",
    queues=("critical", "a:b"),
    exclusions=("low",),
    wanted=4,
    live=3,
    limits=RecordedLimits(runtime=60.0),
)
MASTER = MasterRecord(
    id="web1:4700",
    host="web1",
    pid=4700,
    version="0.1.0",
    since=1795433916.5,
    at=1795433976.0,
    state="running",
    is_paused=True,
    generation=2,
    last_reload=RecordedReload(at=1795433950.0, outcome="failed", error="no module"),
    pools=(POOL,),
    hidden_user="resqued",
    instance="critical,high",
)
LEAST = {
    "id": "h:1",
    "host": "h",
    "pid": 1,
    "version": "9",
    "since": 1,
    "at": 2,
    "state": "running",
    "paused": False,
    "generation": 1,
}


def test_what_is_written_is_read() -> None:
    assert decode(encode(MASTER).encode()) == MASTER


def test_the_names_are_those_of_the_document() -> None:
    value = json.loads(encode(MASTER))
    assert sorted(value) == [
        *("at", "generation", "hidden_user", "host", "id", "instance"),
        *("last_reload", "paused", "pid", "pools", "since", "state", "version"),
    ]
    assert sorted(value["pools"][0]) == [
        *("exclusions", "limits", "live", "name", "queues", "wanted")
    ]
    assert value["pools"][0]["limits"] == {"runtime": 60.0, "memory": None}
    assert sorted(value["last_reload"]) == ["at", "error", "outcome"]


def test_a_name_that_is_not_utf8_is_kept() -> None:
    pool = RecordedPool(name="\udcff", queues=("\udcff",), wanted=1, live=0)
    record = decode(encode(MasterRecord(**{**of(MASTER), "pools": (pool,)})).encode())
    assert record is not None
    assert record.pools == (pool,)


def of(record: MasterRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


@pytest.mark.parametrize(
    ("value", "is_read"),
    [
        (LEAST, True),
        ({**LEAST, "a later field": [1]}, True),
        ({**LEAST, "last_reload": None}, True),
        ({**LEAST, "pid": "1"}, False),
        ({**LEAST, "pools": [{"name": "a"}]}, False),
        ({name: LEAST[name] for name in LEAST if name != "state"}, False),
        ([], False),
        ("text", False),
    ],
)
def test_records_of_others(value: object, *, is_read: bool) -> None:
    assert (decode(json.dumps(value).encode()) is not None) == is_read


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_no_record(raw: bytes) -> None:
    assert decode(raw) is None


def test_a_master_is_known_by_host_and_pid() -> None:
    assert master_record.master_id("web1", 4711) == "web1:4711"
