"""The JSON texts that Resque keeps in Redis, read and written.

A payload is what a queue holds (wire format 2.1), a worker record what
`worker:<id>` holds, a failure entry what `failed` holds (2.2). Names that other
languages read, such as Resque::DirtyExit, stand here and nowhere else.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resqued.core.limits import UNSET, Limits
from resqued.errors import ArgumentError, PayloadError
from resqued.wire import ruby_json

DIRTY_EXIT = "Resque::DirtyExit"
PRUNE_DIRTY_EXIT = "Resque::PruneDeadWorkerDirtyExit"
TERM_EXCEPTION = "Resque::TermException"
PAYLOAD_ERROR = "Resqued::PayloadError"
# Python's own names: no other language has such failures.
JOB_TIMEOUT = "JobTimeout"
MEMORY_LIMIT = "MemoryLimitExceeded"
OUT_OF_MEMORY = "OutOfMemory"

UNKNOWN_JOB = "<Unknown Job>"

# One failure must not fill Redis: a page of them is read at once by every web
# front end. Characters, so that a cut never splits one.
MAX_ERROR = 16_000
MAX_BACKTRACE = 48_000
_MAX_LINE = 2_000
# Quotes and a comma: a line counts even if it is empty.
_LINE_EXTRA = 3

# More seconds or bytes than there are.
_LARGEST = 1e15

# An argument stands in the list of them, in the payload, in a failure entry.
_ARGUMENT_DEPTH = 3
_PAYLOAD_DEPTH = 1


# hot path: plain-records
@dataclass(slots=True)
class Payload:
    """A job as a queue holds it."""

    class_name: str
    """The class that the job names."""
    args: tuple[Any, ...]
    """The arguments, decoded from JSON."""
    raw: bytes
    """The bytes of the element, as they were in the queue."""
    limits: Limits = UNSET
    """The limits that the payload asks for: `runtime` in seconds, `memory` in bytes;
    0 is without limit, None is not given."""


@dataclass(slots=True)
class Reservation:
    """What a worker record says: the queue, the time, the payload's bytes."""

    queue: str
    run_at: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """Why a run failed: the three fields that tell people about it."""

    exception: str
    error: str
    backtrace: tuple[str, ...] = ()


def encode_job(class_name: str, args: Sequence[object], limits: Limits = UNSET) -> str:
    """Return the text of a job, byte for byte as Ruby writes it (2.1).

    Limits of its own go into a further key, which other readers take no notice of.
    Raises ArgumentError naming the argument that JSON cannot hold.
    """
    out = []
    for index, value in enumerate(args):
        try:
            place = f"argument {index + 1}"
            out.append(ruby_json.encode(value, place, depth=_ARGUMENT_DEPTH))
        except ruby_json.Unencodable as error:
            raise ArgumentError(f"{class_name}: {error}") from None
    more = "" if limits == UNSET else f',"limits":{_limits_text(limits)}'
    return f'{{"class":{_class_text(class_name)},"args":[{",".join(out)}]{more}}}'


def _limits_text(limits: Limits) -> str:
    given = {key: value for key, value in limits._asdict().items() if value is not None}
    return json.dumps(given, separators=(",", ":"))


def _class_text(class_name: str) -> str:
    try:
        return ruby_json.encode(class_name, "its class name")
    except ruby_json.Unencodable as error:
        raise ArgumentError(f"{class_name!r}: {error}") from None


def decode_job(raw: bytes) -> Payload:
    """Return the job that a queue element holds.

    Liberal as Ruby is: `args` may be missing, null, an object (read as pairs)
    or a single value. Raises PayloadError for anything that is no job.
    """
    try:
        value = ruby_json.decode(raw)
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"payload is not UTF-8: {error.reason} at byte {error.start}"
            " (its bytes are kept as Latin-1)"
        ) from None
    except ValueError as error:
        raise PayloadError(f"payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError(f"payload is not an object but {_kind(value)}")
    name = value.get("class")
    if not isinstance(name, str) or not name:
        raise PayloadError("payload names no class")
    limits = _limits(value["limits"]) if "limits" in value else UNSET
    return Payload(name, arguments(value.get("args")), raw, limits)


def _limits(value: object) -> Limits:
    """Return the limits that a payload asks; anything else of that name is not ours."""
    if not isinstance(value, dict):
        return UNSET
    runtime, memory = (
        limit
        if isinstance(limit := value.get(key), int | float)
        and not isinstance(limit, bool)
        and 0 <= limit < _LARGEST
        else None
        for key in Limits._fields
    )
    return Limits(
        None if runtime is None else float(runtime),
        None if memory is None else int(memory),
    )


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list"}
    return names.get(type(value), "a number")


def arguments(args: object) -> tuple[Any, ...]:
    """Return the arguments that the decoded `args` of a payload mean."""
    match args:
        case None:
            return ()
        case list():
            return tuple(args)
        case dict():
            return tuple([key, value] for key, value in args.items())
        case _:
            return (args,)


def class_of(raw: bytes) -> str:
    """Return the class that a payload names, for titles and messages."""
    try:
        return decode_job(raw).class_name
    except PayloadError:
        return UNKNOWN_JOB


def readable(raw: bytes) -> str:
    """Return raw as JSON text that every reader accepts.

    JSON is decoded and written again, as Ruby does on the way to `failed`
    (2.1): key order stays, spaces and escapes go. What is not JSON becomes a
    string of its text, or of its bytes as Latin-1 where it is not UTF-8.
    """
    try:
        return ruby_json.encode(ruby_json.decode(raw), depth=_PAYLOAD_DEPTH)
    except UnicodeDecodeError:
        return ruby_json.quote(raw.decode("latin-1"))
    except ValueError:
        return ruby_json.quote(raw.decode("utf-8"))


# What reserve.lua writes before the payload, as Ruby does. The form of the time
# tells it from node-resque's records, which may go on after the payload.
_PAYLOAD_KEY = b',"payload":'
_OUR_HEAD = re.compile(
    rb'\{"queue":"(?:[^"\\]|\\.)*","run_at":"[\d-]{10}T[\d:]{8}Z"', re.DOTALL
)


def decode_held(record: bytes) -> Reservation:
    """Return what a `worker:<id>` record says, whoever wrote it.

    Records of our own are cut by position, so that the payload's bytes stay
    untouched; others are decoded. Raises PayloadError for what is neither.
    """
    head, found, tail = record.partition(_PAYLOAD_KEY)
    if found and _OUR_HEAD.fullmatch(head) and tail.endswith(b"}"):
        try:
            value = ruby_json.decode(head + b"}")
            return Reservation(value["queue"], value["run_at"], _bytes(tail[:-1]))
        except ValueError:
            pass  # not ours after all: the general way below
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
    """Undo the wrapping of reserve.lua: a payload that is no JSON, as a string."""
    if not text.startswith(b'"'):
        return text
    try:
        # surrogateescape carries bytes that are not UTF-8 through the decoder.
        value = json.loads(text.decode("utf-8", "surrogateescape"))
        return str(value).encode("utf-8", "surrogateescape")
    except (ValueError, UnicodeEncodeError):
        return text


def failure(
    fault: FailureInfo,
    *,
    payload: bytes,
    worker: str,
    queue: str,
    now: float,
) -> bytes:
    """Return the entry for the `failed` list (2.2): seven fields in Ruby's order."""
    backtrace = ",".join(ruby_json.quote(line) for line in _clip(fault.backtrace))
    return (
        f'{{"failed_at":{ruby_json.quote(failed_at(now))}'
        f',"payload":{readable(payload)}'
        f',"exception":{ruby_json.quote(fault.exception)}'
        f',"error":{ruby_json.quote(_cut(fault.error, MAX_ERROR))}'
        f',"backtrace":[{backtrace}]'
        f',"worker":{ruby_json.quote(worker)}'
        f',"queue":{ruby_json.quote(queue)}}}'
    ).encode()


def retried(entry: bytes, now: float) -> bytes:
    """Return a failure entry with `retried_at` set, last as Ruby writes it.

    Raises PayloadError if the entry is no failure.
    """
    value = decode_failure(entry)
    value["retried_at"] = failed_at(now)
    return _rewrite(value, "the failure", depth=0).encode()


def _rewrite(value: object, place: str, *, depth: int) -> str:
    """Return the text of a value that was read from an entry of any origin."""
    try:
        return ruby_json.encode(value, place, depth=depth)
    except ruby_json.Unencodable as error:
        raise PayloadError(f"nothing to retry: {error}") from None


def decode_failure(entry: bytes) -> dict[str, Any]:
    """Return the fields of a failure entry; raise PayloadError if it has none."""
    try:
        value = ruby_json.decode(entry)
    except ValueError as error:
        raise PayloadError(f"failure entry is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError(f"failure entry is not an object but {_kind(value)}")
    return value


def retry_job(entry: bytes) -> tuple[str, str]:
    """Return queue and text of the job that a retry of this failure enqueues.

    Class and arguments only, as Ruby does: further keys are dropped (2.1).
    Raises PayloadError if the failure holds no job or no queue.
    """
    value = decode_failure(entry)
    job = value.get("payload")
    queue = value.get("queue")
    name = job.get("class") if isinstance(job, dict) else None
    if not isinstance(job, dict) or not isinstance(name, str) or not name:
        raise PayloadError("nothing to retry: the payload is not a job")
    if not isinstance(queue, str) or not queue:
        raise PayloadError("nothing to retry: the failure names no queue")
    args = arguments(job.get("args"))
    text = _rewrite(args, "its arguments", depth=_ARGUMENT_DEPTH - 1)
    return queue, f'{{"class":{ruby_json.quote(name)},"args":{text}}}'


def _clip(lines: Sequence[str]) -> list[str]:
    """Keep the head and the tail of a backtrace that is too long to store."""
    room = MAX_BACKTRACE
    if sum(map(len, lines)) + _LINE_EXTRA * len(lines) <= room:
        return list(lines)
    head: list[str] = []
    tail: list[str] = []
    for index in range(len(lines)):
        side, line = (
            (head, lines[index // 2])
            if index % 2 == 0
            else (tail, lines[-1 - index // 2])
        )
        room -= min(len(line), _MAX_LINE) + _LINE_EXTRA
        if room < 0:
            break
        side.append(_cut(line, _MAX_LINE))
    omitted = len(lines) - len(head) - len(tail)
    gap = [f"  … {omitted} lines left out …"] if omitted else []
    return [*head, *gap, *reversed(tail)]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … ({len(text)} characters)"


def failed_at(now: float) -> str:
    """Return the time of a failure as Ruby writes it: local, with zone (2.3)."""
    return time.strftime("%Y/%m/%d %H:%M:%S %Z", time.localtime(now))


def run_at(now: float) -> str:
    """Return the time a run began: ISO 8601 in UTC (2.3)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def started(now: float) -> str:
    """Return the time a worker started: local, with offset (2.3)."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))


def heartbeat(now: float) -> str:
    """Return a heartbeat: ISO 8601 with a numeric offset, never Z (2.3)."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    return f"{text[:-2]}:{text[-2:]}"
