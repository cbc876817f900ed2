"""The records of workers, jobs and counters that the library returns.

Times are datetimes with a zone; `as_dict` has the texts of Redis unchanged, so that no
information that another language wrote is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, TypedDict

from resqued.errors import PayloadError
from resqued.wire import payload, timestamps, worker_record
from resqued.wire.worker_entry import WorkerEntry

# Not written as a class, because `class` is a keyword.
QueuedJob = TypedDict("QueuedJob", {"class": str, "args": list[Any]})
QueuedJob.__doc__ = """A job as it stands in a queue: the keys `class` and `args`.

Further keys, such as `limits`, stand in some payloads.
"""


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
    run_at: datetime | None
    """When the job began, in whole seconds; None if the record has no time."""
    # The text of Redis, in the form of the library that wrote it.
    _run_at: str = field(default="", repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the job as `resqued workers --json` shows it.

        The time is the text of Redis.
        """
        return {
            "queue": self.queue,
            "class": self.class_name,
            "args": list(self.args),
            "run_at": self._run_at,
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
    started: datetime | None
    """When the worker started, in whole seconds; None if it is not known."""
    heartbeat: datetime | None
    """The last heartbeat, in whole seconds; None if there was none. node-resque has
    pings instead."""
    processed: int
    """How many jobs the worker has finished, the failed ones included."""
    failed: int
    """How many of them failed."""
    # The texts of Redis, in the form of the library that wrote them.
    _started: str = field(default="", repr=False, compare=False)
    _heartbeat: str = field(default="", repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the worker as `resqued workers --json` shows it.

        The job is as its own `as_dict` has it, and times are the texts of Redis.
        """
        names = [one.name for one in fields(self) if not one.name.startswith("_")]
        values = {name: getattr(self, name) for name in names}
        values.update(started=self._started, heartbeat=self._heartbeat)
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
            started=timestamps.read(entry.started),
            heartbeat=timestamps.read(entry.heartbeat),
            processed=processed,
            failed=failed,
            _started=entry.started,
            _heartbeat=entry.heartbeat,
        )


def _running_job(record: bytes) -> RunningJob | None:
    """Return the job of a worker record, of any library; None without a record."""
    if not record:
        return None
    try:
        held = worker_record.decode_held(record)
    except PayloadError:
        return RunningJob("", payload.UNKNOWN_JOB, (), None)
    began = timestamps.read(held.run_at), held.run_at
    try:
        job = payload.decode_job(held.payload)
    except PayloadError:
        return RunningJob(held.queue, payload.UNKNOWN_JOB, (), *began)
    return RunningJob(held.queue, job.class_name, job.args, *began)


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
