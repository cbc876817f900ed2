"""The library: what an application does with jobs, queues, workers and failures.

A Client may be used by several threads, and after a fork. The functions of the
package use a default one, made from `configure` or REDIS_URL when first needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from resqued.errors import ArgumentError, JobClassError, PayloadError
from resqued.store.connection import DEFAULT_URL, TIMEOUT, Link
from resqued.store.failures import Failures
from resqued.store.job_queues import Queues
from resqued.store.registry import Registry
from resqued.wire import payload, ruby_json
from resqued.wire.keys import Keys
from resqued.wire.naming import JobLike, payload_limits, queue_of, target_of, wire_name
from resqued.wire.payload import Payload
from resqued.wire.worker_entry import WorkerEntry


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as the registry shows it."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    state: str
    job: dict[str, Any] | None
    started: str
    heartbeat: str
    processed: int
    failed: int


class Client:
    """One Redis and one namespace in it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "resque",
        inline: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        self.url = url or os.environ.get("REDIS_URL") or DEFAULT_URL
        self.namespace = namespace
        self.inline = inline
        self._link = Link(self.url, timeout=timeout)
        self._keys = Keys(namespace)
        self._queues = Queues(self._link, self._keys)
        self.registry = Registry(self._link, self._keys)
        self.failures = Failures(self._link, self._keys)

    def __repr__(self) -> str:
        return f"<resqued client of namespace {self.namespace}>"

    def enqueue(self, job: JobLike, *args: Any) -> bool:
        """Put a job on its own queue.

        Raises ArgumentError if JSON cannot hold an argument, JobClassError if
        the job has no name or queue, StoreError if Redis did not confirm it.
        """
        return self.enqueue_to(queue_of(job), job, *args)

    def enqueue_to(self, queue: str, job: JobLike, *args: Any) -> bool:
        """Put a job on a queue: a job, or the name of a class of any language."""
        text = payload.encode_job(wire_name(job), args, payload_limits(job))
        _check_queue(queue)
        if self.inline:
            _perform(job, text)
        else:
            self._queues.push(queue, text)
        return True

    def enqueue_many(
        self,
        jobs: Iterable[Sequence[Any]],
        *,
        job: JobLike | None = None,
        queue: str | None = None,
    ) -> int:
        """Put many jobs in few round trips; answer how many.

        Each item is `(job, *args)`, or the arguments alone if `job` is given.
        The stream is read in batches: a generator of millions is fine. Raises
        as enqueue does; the batches before the fault are on their queues then.
        """
        items = jobs if job is None else ((job, *args) for args in jobs)
        if self.inline:
            count = 0
            for item in items:
                self.enqueue_to(queue or queue_of(item[0]), item[0], *item[1:])
                count += 1
            return count
        return self._queues.push_many(_encode_item(item, queue) for item in items)

    def dequeue(self, job: JobLike, *args: Any, queue: str | None = None) -> int:
        """Remove jobs from a queue: those with these arguments, or all of the class.

        Answers how many were removed.
        """
        name = queue or queue_of(job)
        if not args:
            return self._queues.dequeue_class(name, wire_name(job))
        text = payload.encode_job(wire_name(job), args, payload_limits(job))
        return self._queues.dequeue(name, text)

    def push(self, queue: str, item: object) -> None:
        """Put any JSON value on a queue, as it is."""
        _check_queue(queue)
        try:
            text = ruby_json.encode(item, "item")
        except ruby_json.Unencodable as error:
            raise ArgumentError(str(error)) from None
        self._queues.push(queue, text)

    def pop(self, queue: str) -> Any:
        """Take the next element and return its value; None if there is none.

        Raises ValueError if the element is not JSON; it is gone all the same.
        """
        raw = self._queues.pop(queue)
        return None if raw is None else ruby_json.decode(raw)

    def peek(self, queue: str, start: int = 0, count: int = 1) -> list[Any]:
        """Return the values of up to count elements from start; none is taken.

        An element that is not JSON is returned as bytes.
        """
        return [_value_or_bytes(raw) for raw in self._queues.peek(queue, start, count)]

    def reserve(self, queue: str) -> Payload | None:
        """Take the next job off a queue, to be run by the caller; None if empty.

        Nothing remembers it: a job so reserved is lost with its process. Raises
        PayloadError if the element is no job.
        """
        raw = self._queues.pop(queue)
        return None if raw is None else payload.decode_job(raw)

    def size(self, queue: str) -> int:
        """Return how many jobs wait in a queue."""
        return self._queues.size(queue)

    def queues(self) -> list[str]:
        """Return the names of all queues, sorted."""
        return self._queues.names()

    def queue_sizes(self) -> dict[str, int]:
        """Return every queue with its length."""
        return self._queues.sizes()

    def remove_queue(self, queue: str) -> int:
        """Remove a queue with the jobs in it; answer how many there were."""
        return self._queues.remove(queue)

    def workers(self) -> list[Worker]:
        """Return every registered worker, of this package or another."""
        return [worker for worker, _ in self.worker_entries()]

    def worker_entries(self) -> list[tuple[Worker, WorkerEntry]]:
        """Return every registered worker, with the texts that show if it lives."""
        entries = list(self.registry.entries())
        counts = self.registry.counts(entries)
        return [(_worker(e, *n), e) for e, n in zip(entries, counts, strict=True)]

    def working(self) -> list[Worker]:
        """Return the workers that run a job now."""
        return [worker for worker in self.workers() if worker.job is not None]

    def info(self) -> dict[str, Any]:
        """Return the figures of the whole: as Resque.info does."""
        sizes = self.queue_sizes()
        workers = self.workers()
        processed, failed = self.registry.totals()
        return {
            "pending": sum(sizes.values()),
            "processed": processed,
            "failed": failed,
            "failures": self.failures.count(),
            "queues": len(sizes),
            "workers": len(workers),
            "working": sum(worker.job is not None for worker in workers),
        }

    def status(self) -> dict[str, Any]:
        """Return workers, queues and counters, as `resqued status --json` does."""
        sizes = self.queue_sizes()
        processed, failed = self.registry.totals()
        return {
            "workers": self.workers(),
            "queues": sizes,
            "pending": sum(sizes.values()),
            "processed": processed,
            "failed": failed,
            "failures": self.failures.count(),
        }

    def ping(self) -> None:
        """Raise StoreError unless Redis answers."""
        self._link.ping()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._link.close()


def _check_queue(queue: str) -> None:
    if not queue:
        raise JobClassError("a job must be placed onto a queue, and '' is none")


def _encode_item(item: Sequence[Any], queue: str | None) -> tuple[str, str]:
    job, args = item[0], item[1:]
    text = payload.encode_job(wire_name(job), args, payload_limits(job))
    return queue or queue_of(job), text


def _perform(job: JobLike, text: str) -> None:
    """Run a job here and now, with what a worker would have read."""
    if isinstance(job, str):
        raise JobClassError(f"{job} cannot run inline: only its name is known here")
    target_of(job)(*payload.decode_job(text.encode()).args)


def _value_or_bytes(raw: bytes) -> Any:
    try:
        return ruby_json.decode(raw)
    except ValueError:
        return raw


def _worker(entry: WorkerEntry, processed: int, failed: int) -> Worker:
    job = _job(entry.record)
    return Worker(
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


def _job(record: bytes) -> dict[str, Any] | None:
    """Return what a worker record tells people, whoever wrote it."""
    if not record:
        return None
    try:
        held = payload.decode_held(record)
    except PayloadError:
        return {"queue": "", "class": payload.UNKNOWN_JOB, "args": [], "run_at": ""}
    try:
        job = payload.decode_job(held.payload)
        name, args = job.class_name, list(job.args)
    except PayloadError:
        name, args = payload.UNKNOWN_JOB, []
    return {"queue": held.queue, "class": name, "args": args, "run_at": held.run_at}


# The client behind the package's functions, made when first needed: there is one, or
# none. No lock, which a thread could hold while another forks; setdefault has one of
# two win that were made at once.
_default: dict[str, Client] = {}


def configure(
    url: str | None = None,
    *,
    namespace: str = "resque",
    inline: bool = False,
    timeout: float = TIMEOUT,
) -> Client:
    """Set the client that the functions of the package use, and return it."""
    client = Client(url, namespace=namespace, inline=inline, timeout=timeout)
    _default["client"] = client
    return client


def default_client() -> Client:
    """Return the client that the functions of the package use."""
    return _default.get("client") or _default.setdefault("client", Client())


def enqueue(job: JobLike, *args: Any) -> bool:
    """Put a job on its own queue; see Client.enqueue."""
    return default_client().enqueue(job, *args)


def enqueue_to(queue: str, job: JobLike, *args: Any) -> bool:
    """Put a job on a queue; see Client.enqueue_to."""
    return default_client().enqueue_to(queue, job, *args)
