"""Every registered worker, with its state as heartbeats and processes show it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from resqued.client import Client
from resqued.store import pruning
from resqued.store.reports import Worker
from resqued.wire import worker_entry
from resqued.wire.worker_entry import HostIdentity, Liveness, WorkerEntry

# No host: with this, only the heartbeat counts.
_NOWHERE = HostIdentity("", "")


class WorkerStatus(Struct, frozen=True):
    """A worker with its state, and the ages of heartbeat and job in seconds."""

    worker: Worker
    state: str
    heartbeat_age: float | None
    job_age: float | None
    is_foreign: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the worker, its state and the age of its heartbeat, for --json."""
        state = {"state": self.state, "heartbeat_age": self.heartbeat_age}
        return {**self.worker.as_dict(), **state}


def worker_statuses(
    client: Client, *, longest_record: int | None = None
) -> list[WorkerStatus]:
    """Return every registered worker with its state. Raises StoreError.

    With `longest_record`, a job whose record has more bytes is known by its class,
    and not by its arguments.
    """
    now = client.registry.link.time()
    entries = list(client.registry.entries(longest_record=longest_record))
    counts = client.registry.counts(entries)
    return [
        status_of(Worker.of(entry, *numbers), entry, now)
        for entry, numbers in zip(entries, counts, strict=True)
    ]


def status_of(worker: Worker, entry: WorkerEntry, now: float) -> WorkerStatus:
    """Return a worker with its state; `now` is the server's clock, in seconds."""
    age = worker_entry.heartbeat_age(entry.heartbeat, now)
    if age is None:
        age = worker_entry.ping_age(entry.ping, now)
    run_at = worker.job.run_at if worker.job else None
    return WorkerStatus(
        worker,
        state=_state(entry, now) or worker.state,
        heartbeat_age=None if age is None else max(0.0, age),
        job_age=None if run_at is None else now - run_at.timestamp(),
        is_foreign=not entry.identity,
    )


def _state(entry: WorkerEntry, now: float) -> str:
    """Return dead, silent or unknown; "" for a worker that is alive."""
    verdict = pruning.judge(entry, now)
    if verdict is not Liveness.DEAD:
        # A process that exists may hang, so the heartbeat is judged too.
        verdict = worker_entry.judge(
            entry, now=now, machine=_NOWHERE, start_of_pid=None
        )
    return "" if verdict is Liveness.ALIVE else verdict.value
