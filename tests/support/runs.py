"""A worker's steps in Redis, without the worker."""

from __future__ import annotations

from resqued.store.connection import SingleLink
from resqued.store.runs import JobIntake, Runs
from resqued.wire import payload, queue_list
from resqued.wire.keys import Keys


def registered(
    link: SingleLink,
    queues: str,
    *,
    namespace: str = "resque",
    max_payload: int = payload.MAX_PAYLOAD,
) -> Runs:
    """Return the runs of a worker that is registered as `host:1:<queues>`."""
    runs = Runs(
        link,
        Keys(namespace),
        worker_id=f"host:1:{queues}",
        identity=f"identity of {queues}",
        intake=JobIntake(queue_list.parse(queues), max_payload),
    )
    assert runs.register()
    return runs
