"""Who is alive, by what the registry says."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from resqued.wire.worker_entry import (
    HostIdentity,
    Identity,
    Liveness,
    WorkerEntry,
    heartbeat_age,
    judge,
    ping_age,
)

NOW = 1_795_435_200.0
HERE = HostIdentity(boot="boot-1", pids="pid:[1]")
MINE = Identity("boot-1", "pid:[1]", 42, 1000, 60.0, "nonce")
ELSEWHERE = Identity("boot-2", "pid:[1]", 42, 1000, 10.0, "nonce")


def beat(age: float) -> str:
    return datetime.fromtimestamp(NOW - age, UTC).isoformat()


def ping(age: float) -> str:
    return json.dumps({"time": NOW - age, "name": "h:1", "queues": "q"})


@pytest.mark.parametrize(
    ("entry", "start", "expected"),
    [
        # Ours and of this machine: by the process alone, whatever the heartbeat.
        (WorkerEntry("h:42:q", MINE.encode(), beat(9999)), 1000, Liveness.ALIVE),
        (WorkerEntry("h:42:q", MINE.encode(), beat(1)), 1001, Liveness.DEAD),
        (WorkerEntry("h:42:q", MINE.encode(), beat(1)), None, Liveness.DEAD),
        # Ours from elsewhere: five of its own intervals.
        (WorkerEntry("h:42:q", ELSEWHERE.encode(), beat(49)), 1000, Liveness.ALIVE),
        (WorkerEntry("h:42:q", ELSEWHERE.encode(), beat(51)), 1000, Liveness.SILENT),
        (WorkerEntry("h:42:q", ELSEWHERE.encode(), ""), 1000, Liveness.UNKNOWN),
        # Of what Ruby unregistered, our identity is left; not if it works on.
        (
            WorkerEntry("h:42:q", ELSEWHERE.encode(), is_registered=False),
            1000,
            Liveness.SILENT,
        ),
        (
            WorkerEntry(
                "h:42:q", ELSEWHERE.encode(), record=b"{}", is_registered=False
            ),
            1000,
            Liveness.UNKNOWN,
        ),
        (
            WorkerEntry("h:42:q", MINE.encode(), is_registered=False),
            1000,
            Liveness.ALIVE,
        ),
        # Ruby's: 300 s.
        (WorkerEntry("h:42:q", "", beat(299)), None, Liveness.ALIVE),
        (WorkerEntry("h:42:q", "", beat(301)), None, Liveness.SILENT),
        # node-resque's: an hour since its ping.
        (WorkerEntry("h:42:q", ping=ping(3599)), None, Liveness.ALIVE),
        (WorkerEntry("h:42:q", ping=ping(3601)), None, Liveness.SILENT),
        # No sign ever, or none that can be read.
        (WorkerEntry("h:42:q"), None, Liveness.UNKNOWN),
        (WorkerEntry("h:42:q", heartbeat="rubbish"), None, Liveness.UNKNOWN),
        (WorkerEntry("h:42:q", heartbeat="1795435200"), None, Liveness.UNKNOWN),
        # Of which zone it is, nobody knows.
        (
            WorkerEntry("h:42:q", heartbeat="2026-11-23T12:00:00"),
            None,
            Liveness.UNKNOWN,
        ),
        (
            WorkerEntry("h:42:q", identity="rubbish", heartbeat=beat(1)),
            None,
            Liveness.ALIVE,
        ),
    ],
)
def test_verdicts(entry, start, expected):
    assert judge(entry, now=NOW, machine=HERE, start_of_pid=start) is expected


def test_a_heartbeat_from_the_future_is_a_sign_of_life():
    entry = WorkerEntry("h:42:q", heartbeat=beat(-3600))
    assert judge(entry, now=NOW, machine=HERE, start_of_pid=None) is Liveness.ALIVE


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00+00:00",
        "2026-11-23T12:00:00Z",
        "2026-11-23T07:00:00-05:00",
        "2026-11-23T12:00:00.000+00:00",
    ],
)
def test_heartbeats_as_ruby_and_others_write_them(text):
    assert heartbeat_age(text, NOW) == 0


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"time":"x"}', '{"time":1e999}', "[" * 9999]
)
def test_pings_that_cannot_be_read(text):
    assert ping_age(text, NOW) in (None, float("-inf"))


@pytest.mark.parametrize(
    ("worker_id", "host", "pid", "queues", "node_name"),
    [
        ("h:1:a,b", "h", 1, ("a", "b"), "h:1"),
        ("h:1:a:b", "h", 1, ("a:b",), "h:1"),
        ("h:1+2:*", "h", 1, ("*",), "h:1+2"),
        ("h:x:q", "h", 0, ("q",), "h:x"),
        ("h:²:q", "h", 0, ("q",), "h:²"),
        ("h", "h", 0, (), "h"),
        ("", "", 0, (), ""),
    ],
)
def test_ids_of_every_kind(worker_id, host, pid, queues, node_name):
    entry = WorkerEntry(worker_id)
    assert (entry.host, entry.pid, entry.queues) == (host, pid, queues)
    assert entry.node_name == node_name


def test_an_identity_survives_being_written():
    assert Identity.decode(MINE.encode()) == MINE
    assert Identity.decode("") is None
    assert Identity.decode('{"boot":1e999,"pid":1e999}') is None
