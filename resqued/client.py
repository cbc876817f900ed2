"""The library: what an application does with jobs, queues, workers and failures.

A Client may be used by several threads, and after a fork. The functions of the
package use a default one, made from `configure` or REDIS_URL when first needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ParamSpec, Self, overload

from resqued.errors import (
    ArgumentError,
    PayloadError,
)
from resqued.hooks.producing import HookedCall, hooked_call, perform_inline
from resqued.scheduler.delayed_client import AnyJob, Arguments, DelayedClient
from resqued.store.connection import Link
from resqued.store.counters import count_jobs
from resqued.store.delayed import DelayedJobs
from resqued.store.failures import Failures
from resqued.store.history import History
from resqued.store.job_queues import BATCH, Queues
from resqued.store.quarantine import Quarantine
from resqued.store.queue_client import QueueClient
from resqued.store.redis_client import TIMEOUT
from resqued.store.registry import Registry
from resqued.store.reports import Info, QueuedJob, Status, Worker
from resqued.store.server_url import DEFAULT_URL, check_settings
from resqued.wire import calls, payload, ruby_json
from resqued.wire.keys import Keys
from resqued.wire.naming import (
    ClassJob,
    FunctionJob,
    JobLike,
    check_queue,
    check_queue_name,
    payload_limits,
    queue_of,
    wire_name,
)
from resqued.wire.payload import Payload
from resqued.wire.worker_entry import WorkerEntry

P = ParamSpec("P")


class Client(DelayedClient, QueueClient):
    """One Redis and one namespace in it.

    `url` begins with redis://, rediss:// or unix://, or with redis+sentinel:// or
    redis+cluster:// for several servers; without it, REDIS_URL of the environment
    counts, or else localhost. `namespace` is the part of all keys before the first
    colon; a cluster needs one in braces. With `inline`, enqueue runs the job in this
    process, at once. `timeout` is how many seconds connecting to Redis, and each of its
    replies, may take, and how long a command is repeated that was not executed, while
    another server becomes the primary. `max_payload` is how many bytes a payload may
    have; workers judge by `max_payload` in their configuration. Nothing is connected
    before the first call.
    `failures` is the failed list, `delayed` are the jobs that wait for a time, and
    `quarantine` those that were set aside, because they kill their processes; `history`
    are past runs and queue lengths.

    In a `with` statement its connections are closed at the end.

    Raises ConfigError if the URL is not one, or another argument cannot be used.
    Methods that ask Redis raise StoreError
    if it does not answer or refuses. Methods that take the name of a queue raise
    QueueNameError if the name is empty or not a str.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "resque",
        inline: bool = False,
        timeout: float = TIMEOUT,
        max_payload: int = payload.MAX_PAYLOAD,
    ) -> None:
        self.url = url or os.environ.get("REDIS_URL") or DEFAULT_URL
        check_settings(
            self.url, namespace, timeout, inline=inline, max_payload=max_payload
        )
        self.namespace = namespace
        self.inline = inline
        # The client to go back to, if there was one; empty if there is no going back.
        self._former: tuple[Client | None, ...] = ()
        self._max_payload = max_payload
        self._link = Link(self.url, timeout=timeout, namespace=namespace)
        self._keys = Keys(namespace)
        self._queues = Queues(self._link, self._keys)
        self.registry = Registry(self._link, self._keys)
        self.failures = Failures(self._link, self._keys)
        self.delayed = DelayedJobs(self._link, self._keys)
        self.history = History(self._link, self._keys)
        self.quarantine = Quarantine(self._link, self._keys)

    def __enter__(self) -> Self:
        if self in _replaced:
            self._former = (_replaced.pop(self),)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections, and undo the `configure` that made the client."""
        self.close()
        if self._former and _default.get("client") is self:
            del _default["client"]
            if former := self._former[0]:
                _default["client"] = former

    def __repr__(self) -> str:
        return f"<resqued client of namespace {self.namespace}>"

    def enqueue(
        self, job: FunctionJob[P] | ClassJob[P], /, *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Put a job on its own queue; return True when Redis has it.

        Returns False if a before_enqueue hook has refused the job. Keyword arguments
        are put at their position, because a payload has positions alone; a parameter
        left out before one of them gets its default. Raises ArgumentError if the
        arguments do not fit the job, JSON cannot hold one, or the payload is longer
        than `max_payload`, JobClassError if the job has no name or no queue, and
        StoreError if Redis did not confirm the job: it may be on the queue all the
        same. With `inline`, what the job raises comes out too.
        """
        target: Any = job
        return self._put(queue_of(target), target, args, kwargs)

    @overload
    def enqueue_to(
        self,
        queue: str,
        job: FunctionJob[P] | ClassJob[P],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> bool: ...
    @overload
    def enqueue_to(self, queue: str, job: str, /, *args: Any) -> bool: ...
    def enqueue_to(self, queue: str, job: Any, /, *args: Any, **kwargs: Any) -> bool:
        """Put a job on the queue that is named; return True when Redis has it.

        The job may be the name of a class, in any language: its arguments are not
        checked and cannot be given by keyword. Raises what enqueue raises, and
        QueueNameError if the queue is empty, not a str, or no plain name (`a,b`, `*`).
        """
        return self._put(queue, job, args, kwargs)

    def _put(
        self,
        queue: str,
        job: JobLike,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> bool:
        text = calls.encode(job, args, kwargs, self._max_payload)
        check_queue(queue)
        hooked = hooked_call(queue, job, args, kwargs)
        if hooked is not None and hooked.is_vetoed("before_enqueue"):
            return False
        if self.inline:
            perform_inline(job, text, queue)
        else:
            self._queues.push(queue, text)
        if hooked is not None:
            hooked.run("after_enqueue")
        return True

    def enqueue_many(
        self,
        jobs: Iterable[Arguments],
        *,
        job: AnyJob | None = None,
        queue: str | None = None,
    ) -> int:
        """Put many jobs on queues in few round trips; return how many.

        Each item is a tuple or list: `(job, *args)`, or the arguments alone if `job`
        is given. Each job goes to `queue`, or to its own queue if `queue` is None.
        Items are read and sent in batches of 1,000, so a generator of millions is
        fine. Raises what enqueue raises; the batches before the error are on their
        queues then.
        """
        items = (calls.job_of(item, job) for item in jobs)
        if self.inline:
            put = (self._put(queue or queue_of(j), j, args, {}) for j, args in items)
            return sum(put)
        total = 0
        while batch := list(islice(items, BATCH)):
            total += self._push_batch(batch, queue)
        return total

    def _push_batch(
        self, items: Iterable[tuple[JobLike, tuple[Any, ...]]], queue: str | None
    ) -> int:
        """Put a batch of jobs on queues, with their hooks; return how many."""
        pairs: list[tuple[str, str]] = []
        pushed: list[HookedCall] = []
        for job, args in items:
            pair = calls.encode_item(job, args, queue, self._max_payload)
            if (hooked := hooked_call(pair[0], job, args)) is not None:
                if hooked.is_vetoed("before_enqueue"):
                    continue
                pushed.append(hooked)
            pairs.append(pair)
        total = self._queues.push_many(pairs)
        for hooked in pushed:
            hooked.run("after_enqueue")
        return total

    def dequeue(self, job: AnyJob, /, *args: Any, queue: str | None = None) -> int:
        """Remove jobs from a queue; return how many were removed.

        Removes the jobs of this class with exactly these arguments, or all of the
        class if there are no arguments. `queue` is that of the job by default. Returns
        0 if a before_dequeue hook has refused. Raises JobClassError if the job has no
        queue and none is given.
        """
        target: Any = job
        name = queue_of(target) if queue is None else check_queue_name(queue)
        hooked = hooked_call(name, target, args)
        if hooked is not None and hooked.is_vetoed("before_dequeue"):
            return 0
        count = self._remove(name, target, args)
        if hooked is not None:
            hooked.run("after_dequeue")
        return count

    def _remove(self, queue: str, job: JobLike, args: tuple[Any, ...]) -> int:
        if not args:
            return self._queues.dequeue_class(queue, wire_name(job))
        text = payload.encode_job(wire_name(job), args, payload_limits(job))
        return self._queues.dequeue(queue, text)

    def push(self, queue: str, item: object) -> None:
        """Put a JSON value on a queue, as it is.

        Raises ArgumentError if JSON cannot hold the value, or if its text is longer
        than `max_payload`.
        """
        check_queue_name(queue)
        try:
            text = ruby_json.encode(item, "item")
        except ruby_json.Unencodable as error:
            raise ArgumentError(str(error)) from None
        payload.check_size(text, self._max_payload, "item")
        self._queues.push(queue, text)

    def pop(self, queue: str) -> Any:
        """Take the next element off a queue and return its value; None if it is empty.

        The element is gone with the caller: no worker and no record has it. Raises
        PayloadError if the element is not JSON; it is gone all the same.
        """
        raw = self._queues.pop(check_queue_name(queue))
        try:
            return None if raw is None else ruby_json.decode(raw)
        except ValueError as error:
            raise PayloadError(
                f"element of queue {queue} is not JSON: {error}"
            ) from None

    def peek(self, queue: str, start: int = 0, count: int = 1) -> list[QueuedJob | Any]:
        """Return the values of up to `count` elements of a queue, taking none.

        `start` is the position of the first one; position 0 is the next to be taken.
        A job is a QueuedJob. An element that is not JSON is
        returned as bytes.
        """
        check_queue_name(queue)
        if count <= 0:
            return []
        return [_value_or_bytes(raw) for raw in self._queues.peek(queue, start, count)]

    def reserve(self, queue: str) -> Payload | None:
        """Take the next job off a queue, for the caller to run; None if it is empty.

        The job is lost if the caller ends before it has run it: no worker and no
        record has it. Raises PayloadError if the element is not a job; it is gone all
        the same.
        """
        raw = self._queues.pop(check_queue_name(queue))
        return None if raw is None else payload.decode_job(raw)

    def workers(self) -> list[Worker]:
        """Return every registered worker, of this package, Resque or node-resque."""
        return [worker for worker, _ in self.worker_entries()]

    def worker_entries(self) -> list[tuple[Worker, WorkerEntry]]:
        """Return the workers with their entries in the registry; for commands alone."""
        entries = list(self.registry.entries())
        counts = self.registry.counts(entries)
        return [(Worker.of(e, *n), e) for e, n in zip(entries, counts, strict=True)]

    def working(self) -> list[Worker]:
        """Return the workers that run a job now; `job` of each is a RunningJob."""
        return [worker for worker in self.workers() if worker.job is not None]

    def info(self) -> Info:
        """Return the counters of the namespace; see Info for each of them."""
        status = self.status()
        return Info(
            pending=status.pending,
            processed=status.processed,
            failed=status.failed,
            failures=status.failures,
            queues=len(status.queues),
            workers=len(status.workers),
            working=sum(worker.job is not None for worker in status.workers),
        )

    def status(self) -> Status:
        """Return every worker and queue, and the counters of the namespace."""
        sizes = self.queue_sizes()
        workers = tuple(self.workers())
        counters = count_jobs(sizes, self.registry, self.failures)
        return Status(workers=workers, queues=sizes, **counters.as_dict())

    def ping(self) -> None:
        """Return if Redis answers; raise StoreError if it does not."""
        self._link.ping()

    def close(self) -> None:
        """Close the connections to Redis; the next call opens new ones."""
        self._link.close()


def _value_or_bytes(raw: bytes) -> Any:
    try:
        return ruby_json.decode(raw)
    except ValueError:
        return raw


# The client behind the package's functions, made when first needed: there is one, or
# none. No lock, which a thread could hold while another forks; setdefault has one of
# two win that were made at once.
_default: dict[str, Client] = {}

# The client of the last `configure`, with the one that it replaced: only until it is
# used, so that no more than one former client is kept.
_replaced: dict[Client, Client | None] = {}


def configure(
    url: str | None = None,
    *,
    namespace: str = "resque",
    inline: bool = False,
    timeout: float = TIMEOUT,
    max_payload: int = payload.MAX_PAYLOAD,
) -> Client:
    """Make the client that the functions of the package use, and return it.

    The arguments are those of Client: `timeout` is in seconds, `max_payload` in bytes.
    `with configure(…):` has the functions use the client that they used before, once
    the block is left.
    Raises ConfigError if the URL is not one, or another argument cannot be used.
    """
    client = Client(
        url,
        namespace=namespace,
        inline=inline,
        timeout=timeout,
        max_payload=max_payload,
    )
    _replaced.clear()
    _replaced[client] = _default.get("client")
    _default["client"] = client
    return client


def default_client() -> Client:
    """Return the client that the functions of the package use.

    That is the one of the last `configure`. Without it one is made at the first call,
    for REDIS_URL of the environment or localhost; raises ConfigError if REDIS_URL is
    not a URL of Redis. In a job it is a client of the Redis that the worker uses.
    """
    _replaced.clear()
    return _default.get("client") or _default.setdefault("client", Client())
