"""The items of delayed jobs: a payload with the name of its queue (wire format 8.1)."""

from __future__ import annotations

from typing import Any

from resqued.errors import PayloadError
from resqued.wire import payload, ruby_json
from resqued.wire.payload import Payload


def encode(text: str, queue: str) -> str:
    """Return the item of a payload: `queue` is its last key, as Ruby writes it."""
    return f'{text[:-1]},"queue":{ruby_json.quote(queue)}}}'


def spellings(text: str, queue: str) -> tuple[str, ...]:
    """Return the items that Ruby and node-resque write for the payload of a job."""
    head, args, tail = text.partition(',"args":')
    return (
        encode(text, queue),
        f'{head},"queue":{ruby_json.quote(queue)}{args}{tail}',
    )


def decode(item: bytes) -> tuple[str, Payload]:
    """Return queue and job of an item; `raw` of the job is the payload for the queue.

    The payload is written again, as Ruby does. Raises PayloadError if the item is no
    job, or names no queue.
    """
    job = payload.decode_job(item)
    value: dict[str, Any] = ruby_json.decode(item)
    queue = value.pop("queue", None)
    if not isinstance(queue, str) or not queue:
        raise PayloadError("delayed item names no queue")
    try:
        text = ruby_json.encode(value, "delayed item")
    except ruby_json.Unencodable as error:
        raise PayloadError(str(error)) from None
    return queue, Payload(job.class_name, job.args, text.encode(), job.limits)
