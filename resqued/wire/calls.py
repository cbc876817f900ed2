"""From a call of a job, or an item of enqueue_many, to its payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resqued.errors import ArgumentError
from resqued.wire import arguments, payload
from resqued.wire.naming import (
    JobLike,
    check_queue,
    function_of,
    payload_limits,
    queue_of,
    wire_name,
)


def encode(
    job: JobLike, args: tuple[Any, ...], kwargs: Mapping[str, Any], max_payload: int
) -> str:
    """Return the payload of a call of the job.

    Raises ArgumentError if the arguments do not fit the job, if JSON cannot hold one,
    or if the payload has more than `max_payload` bytes; JobClassError if it is no job.
    """
    name = wire_name(job)
    function = function_of(job)
    if function is not None:
        args = arguments.by_position(name, function, args, kwargs)
    elif kwargs:
        raise ArgumentError(
            f"{name} is known by its name alone: give its arguments by position"
        )
    text = payload.encode_job(name, args, payload_limits(job))
    payload.check_size(text, max_payload, name)
    return text


def job_of(item: object, job: Any) -> tuple[JobLike, tuple[Any, ...]]:
    """Return job and arguments of an item of enqueue_many.

    `job` is the job of all items, or None. Raises ArgumentError for a wrong item.
    """
    if isinstance(item, str | bytes) or not isinstance(item, Sequence):
        raise ArgumentError(
            f"enqueue_many takes tuples and lists, not a {type(item).__name__}"
        )
    if job is not None:
        return job, tuple(item)
    if not item:
        raise ArgumentError("enqueue_many takes (job, *args), not an empty item")
    return item[0], tuple(item[1:])


def encode_item(
    job: JobLike, args: tuple[Any, ...], queue: str | None, max_payload: int
) -> tuple[str, str]:
    """Return the queue and the payload of a call; `queue` goes before the job's own."""
    text = encode(job, args, {}, max_payload)
    return check_queue(queue_of(job) if queue is None else queue), text
