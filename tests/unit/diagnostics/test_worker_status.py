"""Who lives, of the workers that are registered: what the signs of life come to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

from resqued import Worker
from resqued.diagnostics.worker_status import status_of
from resqued.system import process
from resqued.wire.worker_entry import Identity, WorkerEntry

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
OURS = Identity("another boot", "pids", 5, 77, interval=60.0, nonce="n").encode()


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(NOW - seconds, UTC).isoformat()


def ping(seconds: float) -> str:
    return json.dumps({"time": NOW - seconds})


def worker(state: str = "idle") -> Worker:
    return Worker(
        id="h:5:q",
        host="h",
        pid=5,
        queues=("q",),
        state=state,
        job=None,
        started=None,
        heartbeat=None,
        processed=0,
        failed=0,
    )


@pytest.mark.parametrize(
    ("entry", "state", "age"),
    [
        # Ruby's may be silent for 300 s.
        (WorkerEntry("h:5:q", heartbeat=ago(299)), "idle", 299.0),
        (WorkerEntry("h:5:q", heartbeat=ago(301)), "silent", 301.0),
        # Ours may miss five beats, of 60 s each here.
        (WorkerEntry("h:5:q", identity=OURS, heartbeat=ago(299)), "idle", 299.0),
        (WorkerEntry("h:5:q", identity=OURS, heartbeat=ago(301)), "silent", 301.0),
        # node-resque has pings in place of heartbeats, and an hour.
        (WorkerEntry("h:5:q", ping=ping(3599)), "idle", 3599.0),
        (WorkerEntry("h:5:q", ping=ping(3601)), "silent", 3601.0),
        (WorkerEntry("h:5:q"), "unknown", None),
        (WorkerEntry("h:5:q", heartbeat="yesterday"), "unknown", None),
        # The clock of its host is ahead of the server's.
        (WorkerEntry("h:5:q", heartbeat=ago(-30)), "idle", 0.0),
    ],
)
def test_a_worker_of_another_host_is_judged_by_its_signs_of_life(
    entry: WorkerEntry, state: str, age: float | None
) -> None:
    found = status_of(worker(), entry, NOW)
    assert found.state == state
    assert found.heartbeat_age == (None if age is None else pytest.approx(age))


def test_a_worker_that_gives_signs_of_life_has_the_state_of_its_record() -> None:
    entry = WorkerEntry("h:5:q", heartbeat=ago(1))
    assert status_of(worker("working"), entry, NOW).state == "working"


def here(start: int, heartbeat: str) -> WorkerEntry:
    """Return a worker that says it is this process."""
    identity = Identity(
        process.boot_id(), process.namespaces(), os.getpid(), start, 60.0, "n"
    )
    return WorkerEntry("h:5:q", identity=identity.encode(), heartbeat=heartbeat)


def test_a_worker_of_this_host_is_dead_without_its_process() -> None:
    start = process.start_time(os.getpid())
    assert start is not None
    assert status_of(worker(), here(start, ago(1)), NOW).state == "idle"
    # Its pid is that of another process now; the last heartbeat is of no account.
    assert status_of(worker(), here(start - 1, ago(1)), NOW).state == "dead"


def test_a_worker_of_this_host_that_hangs_is_silent() -> None:
    start = process.start_time(os.getpid())
    assert start is not None
    assert status_of(worker(), here(start, ago(301)), NOW).state == "silent"
