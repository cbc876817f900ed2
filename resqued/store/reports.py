"""What the library tells of workers, jobs and counters: records, made for reading.

The texts of Redis are passed on as they are, so that nothing is lost of what another
language wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from resqued.errors import PayloadError
from resqued.wire import payload, worker_record
from resqued.wire.worker_entry import WorkerEntry


@dataclass(frozen=True, slots=True)
class RunningJob:
    """The job that a worker runs now.

    If the record of the worker cannot be read, `class_name` is `<Unknown Job>` and
    the other fields are empty.
    """

    queue: str
    """The queue that the job was taken from."""
    class_name: str
    """The class that the payload names; `<Unknown Job>` if the payload is no job."""
    args: tuple[Any, ...]
    """The arguments, decoded from JSON; empty if the payload is no job."""
    run_at: str
    """When the job began. resqued and Resque write UTC, such as 2026-11-27T22:58:27Z;
    node-resque writes a form of its own. Empty if the record has no time."""

    def as_dict(self) -> dict[str, Any]:
        """Return the job under the names that `resqued workers --json` has."""
        return {
            "queue": self.queue,
            "class": self.class_name,
            "args": list(self.args),
            "run_at": self.run_at,
        }


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as it is registered in Redis, of this package, Resque or node-resque."""

    id: str
    """The name in the registry: `host:pid:queue,queue`."""
    host: str
    """The name of the host that the worker runs on."""
    pid: int
    """The process id of the worker on its host; 0 if the id does not hold one."""
    queues: tuple[str, ...]
    """The queues that the worker serves, in their order, with wildcards as given."""
    state: Literal["idle", "working"]
    """`working` while the worker has a job, else `idle`. A worker that died without
    unregistering keeps its state until it is pruned."""
    job: RunningJob | None
    """The job that the worker runs; None if it is idle."""
    started: str
    """When the worker started, with the offset of its host from UTC, such as
    2026-11-27 22:58:27 +0000. Empty if it is not known."""
    heartbeat: str
    """The last heartbeat, with an offset, such as 2026-11-27T22:58:27+00:00. Empty if
    there was none; node-resque has pings instead."""
    processed: int
    """How many jobs the worker has finished, the failed ones included."""
    failed: int
    """How many of them failed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields in their order, the job as its own `as_dict` has it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "job": self.job and self.job.as_dict()}

    @classmethod
    def of(cls, entry: WorkerEntry, processed: int, failed: int) -> Worker:
        """Return the worker of an entry of the registry."""
        job = _running_job(entry.record)
        return cls(
            id=entry.worker_id,
            host=entry.host,
            pid=entry.pid,
            queues=entry.queues,
            state="idle" if job is None else "working",
            job=job,
            started=entry.started,
            heartbeat=entry.heartbeat,
            processed=processed,
            failed=failed,
        )


def _running_job(record: bytes) -> RunningJob | None:
    """Return what a worker record holds, no matter which library wrote it."""
    if not record:
        return None
    try:
        held = worker_record.decode_held(record)
    except PayloadError:
        return RunningJob("", payload.UNKNOWN_JOB, (), "")
    try:
        job = payload.decode_job(held.payload)
    except PayloadError:
        return RunningJob(held.queue, payload.UNKNOWN_JOB, (), held.run_at)
    return RunningJob(held.queue, job.class_name, job.args, held.run_at)


@dataclass(frozen=True, slots=True)
class Info:
    """The counters of one namespace.

    Those of `Resque.info`, of which `failed` is called `failures` here.
    """

    pending: int
    """How many jobs wait, in all queues together."""
    processed: int
    """How many jobs all workers have ever finished, the failed ones included."""
    failed: int
    """How many of the processed jobs failed."""
    failures: int
    """How many entries the failed list has now. Retrying or removing failures changes
    this number, and not `failed`."""
    queues: int
    """How many queues there are."""
    workers: int
    """How many workers are registered."""
    working: int
    """How many of the workers run a job."""

    def as_dict(self) -> dict[str, int]:
        """Return the counters by their names."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Status:
    """Queues, workers and counters of one namespace, read one after the other."""

    workers: tuple[Worker, ...]
    """Every registered worker."""
    queues: Mapping[str, int]
    """How many jobs wait in each queue, by its name."""
    pending: int
    """How many jobs wait, in all queues together."""
    processed: int
    """How many jobs all workers have ever finished, the failed ones included."""
    failed: int
    """How many of the processed jobs failed."""
    failures: int
    """How many entries the failed list has now."""
