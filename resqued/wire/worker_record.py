"""Reader of worker records: the value of `worker:<id>` while a worker holds a job.

The payload in a record is not decoded: it may be large, and the master reads records.
"""

from __future__ import annotations

import json
import re
from typing import Any

from resqued.errors import PayloadError
from resqued.wire import ruby_json
from resqued.wire.payload import Reservation

# Records of other libraries must be decoded to be read at all, up to this many bytes.
_MAX_DECODED = 1 << 20

# What reserve.lua writes before the payload, as Ruby does. The form of the time
# distinguishes it from node-resque's records, in which keys may follow the payload.
_PAYLOAD_KEY = b',"payload":'
_OUR_HEAD = re.compile(
    rb'\{"queue":"(?:[^"\\]|\\.)*","run_at":"[\d-]{10}T[\d:]{8}Z"', re.DOTALL
)


# The members of a record, and of the payload in it, that its beginning shows.
_MEMBER = re.compile(rb'"(queue|run_at|class)"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
# Stands for the arguments of a record that is too long.
TOO_LONG = "(too long to show)"


def without_arguments(beginning: bytes) -> bytes:
    """Return a record for the beginning of one that is too long to read.

    It has queue, time and class, as far as they stand there. Its only argument says
    that the arguments are too long.
    """
    found: dict[str, Any] = {}
    for name, text in _MEMBER.findall(beginning):
        try:
            found.setdefault(name.decode(), ruby_json.decode(text))
        except ValueError:
            continue  # no text of JSON: it stays unknown
    job = {"class": found.pop("class", ""), "args": [TOO_LONG]}
    return ruby_json.encode({**found, "payload": job}, "record").encode()


def decode_held(record: bytes) -> Reservation:
    """Return the contents of a `worker:<id>` record of any implementation.

    Records that resqued or Ruby wrote are cut by position, so that the bytes of the
    payload stay the same; others are decoded. Raises PayloadError if the record is
    not JSON or holds no payload.
    """
    head, separator, tail = record.partition(_PAYLOAD_KEY)
    if separator and _OUR_HEAD.fullmatch(head) and tail.endswith(b"}"):
        try:
            value = ruby_json.decode(head + b"}")
            return Reservation(value["queue"], value["run_at"], _bytes(tail[:-1]))
        except ValueError:
            pass  # written by another implementation: decode it below
    if len(record) > _MAX_DECODED:
        raise PayloadError(f"worker record of {len(record)} bytes is too long to read")
    try:
        value = ruby_json.decode(record)
    except ValueError as error:
        raise PayloadError(f"worker record is not JSON: {error}") from None
    if not isinstance(value, dict) or "payload" not in value:
        raise PayloadError("worker record holds no payload")
    try:
        payload = ruby_json.encode(value["payload"], "payload").encode()
    except ruby_json.Unencodable as error:
        raise PayloadError(f"worker record: {error}") from None
    return Reservation(_text(value.get("queue")), _text(value.get("run_at")), payload)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _bytes(text: bytes) -> bytes:
    """Return the payload's bytes, which reserve.lua wrote as a string if not JSON."""
    if not text.startswith(b'"'):
        return text
    try:
        # surrogateescape carries bytes that are not UTF-8 through the decoder.
        value = json.loads(text.decode("utf-8", "surrogateescape"))
        return str(value).encode("utf-8", "surrogateescape")
    except (ValueError, UnicodeEncodeError):
        return text
