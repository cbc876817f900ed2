"""Readers and writers for the JSON texts that Resque keeps in Redis.

A payload is an element of a queue (wire format 2.1), a failure entry is an element of
`failed` (2.2). Names that other
languages read, such as Resque::DirtyExit, are defined only here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from resqued.core.limits import UNSET, Limits
from resqued.errors import ArgumentError, PayloadError
from resqued.wire import json_scan, ruby_json, timestamps

DIRTY_EXIT = "Resque::DirtyExit"
PRUNE_DIRTY_EXIT = "Resque::PruneDeadWorkerDirtyExit"
TERM_EXCEPTION = "Resque::TermException"
PAYLOAD_ERROR = "Resqued::PayloadError"
# Python's own names: no other language has such failures.
JOB_TIMEOUT = "JobTimeout"
MEMORY_LIMIT = "MemoryLimitExceeded"
OUT_OF_MEMORY = "OutOfMemory"

UNKNOWN_JOB = "<Unknown Job>"

# Limits in characters, so that one failure cannot fill Redis: web front ends read a
# page of failures at once.
MAX_ERROR = 16_000
MAX_BACKTRACE = 48_000
_MAX_LINE = 2_000
# Quotes and a comma, which each line takes even if it is empty.
_LINE_EXTRA = 3

# How many bytes a payload may have by default. Nobody needs to set it: images and
# documents in arguments have some megabytes. A child decodes it in about a second, and
# a failure with it, whose text may grow sixfold, is far from the 512 MB of Redis.
MAX_PAYLOAD = 16 << 20

# Longer texts are not decoded outside of children: a value may take 40 times the memory
# of its text, and a second for each megabyte to be written again.
_MAX_DECODED = 64 << 10
# How much is kept of an element that is no job, in characters.
_MAX_KEPT = 1 << 20
# How much of a class name a title, a message or a line of the log has.
_MAX_NAME = 200

# Limits of a payload from here on are ignored: no job has so many seconds or bytes.
_LARGEST = 1e15

# How deep an argument is nested in a failure entry: the entry, its payload, its args.
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


class Reservation(Struct):
    """A job that a worker holds, as in its record in Redis.

    `run_at` is when it took the job (ISO 8601, UTC), `payload` the payload's bytes,
    and `run` the number of the run, which only its worker knows; 0 for others.
    """

    queue: str
    run_at: str
    payload: bytes
    run: int = 0


class FailureInfo(Struct, frozen=True):
    """Why a run failed: three fields of its failure entry.

    `exception` is the class of the exception, `error` its message, `backtrace` its
    lines.
    """

    exception: str
    error: str
    backtrace: tuple[str, ...] = ()


def check_size(text: str, most: int, what: str) -> None:
    """Raise ArgumentError if a payload has more than `most` bytes; `what` names it."""
    # No character has more than four bytes.
    if len(text) * 4 > most and (size := len(text.encode())) > most:
        raise ArgumentError(
            f"{what}: payload of {size} bytes is longer than max_payload, {most} bytes;"
            " store the data and pass where it is, or raise max_payload here and in"
            " [worker] of the workers"
        )


def encode_job(class_name: str, args: Sequence[object], limits: Limits = UNSET) -> str:
    """Return the payload of a job, byte for byte as Ruby writes it (2.1).

    Limits go into the further key `limits`, which other readers ignore. Raises
    ArgumentError, which names the argument that JSON cannot hold.
    """
    texts = []
    for index, value in enumerate(args):
        try:
            place = f"argument {index + 1}"
            texts.append(ruby_json.encode(value, place, depth=_ARGUMENT_DEPTH))
        except ruby_json.Unencodable as error:
            raise ArgumentError(f"{class_name}: {error}") from None
    more = "" if limits == UNSET else f',"limits":{_limits_text(limits)}'
    return f'{{"class":{_class_text(class_name)},"args":[{",".join(texts)}]{more}}}'


def _limits_text(limits: Limits) -> str:
    given = {key: value for key, value in limits._asdict().items() if value is not None}
    return json.dumps(given, separators=(",", ":"))


def _class_text(class_name: str) -> str:
    try:
        return ruby_json.encode(class_name, "its class name")
    except ruby_json.Unencodable as error:
        raise ArgumentError(f"{class_name!r}: {error}") from None


def decode_job(raw: bytes) -> Payload:
    """Return the job that an element of a queue holds.

    Accepts what Ruby accepts: `args` may be missing, null, an object (read as pairs)
    or a single value. Raises PayloadError if the element is not UTF-8, not JSON, not
    an object, or names no class.
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
    if not _names_class(value):
        raise PayloadError("payload names no class")
    name = value["class"]
    limits = _limits(value["limits"]) if "limits" in value else UNSET
    return Payload(name, arguments(value.get("args")), raw, limits)


def _limits(value: object) -> Limits:
    """Return the limits in a payload; ignore a value that resqued has not written."""
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
    """Return the class name of a payload, or UNKNOWN_JOB; for titles and messages.

    A long name is cut. The payload is not decoded.
    """
    name = json_scan.class_name(raw)
    return shown_name(name) if name else UNKNOWN_JOB


def shown_name(class_name: str) -> str:
    """Return a class name as titles, messages and lines of the log have it: cut."""
    return class_name if len(class_name) <= _MAX_NAME else class_name[:_MAX_NAME] + "…"


def refusal(job: Payload) -> str | None:
    """Return why a payload that stands for an element that was no job fails.

    None for a job. reserve.lua writes such a payload for an element that is too long,
    and `readable` for all others; it comes back to a queue if Ruby retries it.
    """
    if job.class_name != PAYLOAD_ERROR:
        return None
    # The text and the reason, or the text alone.
    if len(job.args) == 2:
        return str(job.args[1])
    text = str(job.args[0]) if job.args else ""
    return f"payload was no job when it was first taken: {text[:_MAX_NAME]!r}"


def readable(raw: bytes) -> str:
    """Return a payload as a JSON object that every reader of failures accepts.

    A job is decoded and encoded again, as Ruby does on the way to `failed` (2.1): the
    order of keys stays, spaces and escapes go. One of more than 64 kB is checked, and
    stays as it is. What is no job becomes the argument of a job that no application
    has, so that web front ends can show it and a retry fails with its text kept. Bytes
    that are not UTF-8 are read as Latin-1, and the end of a text of more than a
    million characters is left out.
    """
    if len(raw) > _MAX_DECODED:
        if json_scan.is_job(raw, depth=ruby_json.MAX_DEPTH - _PAYLOAD_DEPTH):
            return raw.decode("utf-8").strip()
        return _refused(raw)
    try:
        value = ruby_json.decode(raw)
        if isinstance(value, dict) and _names_class(value):
            return ruby_json.encode(value, depth=_PAYLOAD_DEPTH)
    except ValueError:
        pass  # not UTF-8, not JSON, or deeper than Ruby's parser goes
    return _refused(raw)


def _names_class(value: dict[str, Any]) -> bool:
    name = value.get("class")
    return isinstance(name, str) and bool(name)


def _refused(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    kept = ruby_json.quote(_cut(text, _MAX_KEPT))
    return f'{{"class":"{PAYLOAD_ERROR}","args":[{kept}]}}'


def failure(  # noqa: PLR0913 - what a failure entry is made of
    fault: FailureInfo,
    *,
    payload: bytes,
    worker: str,
    queue: str,
    now: float,
    attempt: int = 0,
) -> bytes:
    """Return an entry for the `failed` list (2.2): seven fields in Ruby's order.

    `payload` is the raw payload of the job, `worker` the worker's id, `now` the time
    in seconds since the epoch. An `attempt` after the first one becomes one more field.
    Long errors and backtraces are cut.
    """
    more = f',"attempt":{attempt}' if attempt > 1 else ""
    backtrace = ",".join(ruby_json.quote(line) for line in _clip(fault.backtrace))
    return (
        f'{{"failed_at":{ruby_json.quote(timestamps.failed_at(now))}'
        f',"payload":{readable(payload)}'
        f',"exception":{ruby_json.quote(fault.exception)}'
        f',"error":{ruby_json.quote(_cut(fault.error, MAX_ERROR))}'
        f',"backtrace":[{backtrace}]'
        f',"worker":{ruby_json.quote(worker)}'
        f',"queue":{ruby_json.quote(queue)}{more}}}'
    ).encode()


def retried(entry: bytes, now: float, *, has_zone: bool = True) -> bytes:
    """Return a failure entry with `retried_at` set, as its last key, as Ruby does.

    `now` is in seconds since the epoch. Ruby writes the zone of the time in `failed`,
    and leaves it out in the list of a queue. Raises PayloadError if the entry is not a
    JSON object.
    """
    value = decode_failure(entry)
    written = timestamps.failed_at if has_zone else timestamps.retried_at
    value["retried_at"] = written(now)
    return _rewrite(value, "the failure", depth=0).encode()


def _rewrite(value: object, place: str, *, depth: int) -> str:
    """Return a value from a failure entry as JSON text.

    Raises PayloadError if JSON cannot hold it: another implementation may have
    written the entry.
    """
    try:
        return ruby_json.encode(value, place, depth=depth)
    except ruby_json.Unencodable as error:
        raise PayloadError(f"nothing to retry: {error}") from None


def decode_failure(entry: bytes) -> dict[str, Any]:
    """Return the fields of a failure entry.

    Raises PayloadError if the entry is not a JSON object.
    """
    try:
        value = ruby_json.decode(entry)
    except ValueError as error:
        raise PayloadError(f"failure entry is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError(f"failure entry is not an object but {_kind(value)}")
    return value


def retry_job(entry: bytes) -> tuple[str, str]:
    """Return the queue and the payload that a retry of this failure enqueues.

    The payload has class and arguments only, as in Ruby: further keys are dropped
    (2.1). Raises PayloadError if the failure holds no job or no queue.
    """
    value = decode_failure(entry)
    job = value.get("payload")
    queue = value.get("queue")
    if not isinstance(job, dict) or not _names_class(job):
        raise PayloadError("nothing to retry: the payload is not a job")
    name = job["class"]
    if name == PAYLOAD_ERROR:
        raise PayloadError("nothing to retry: the element of the queue was no job")
    if not isinstance(queue, str) or not queue:
        raise PayloadError("nothing to retry: the failure names no queue")
    args = arguments(job.get("args"))
    text = _rewrite(args, "its arguments", depth=_ARGUMENT_DEPTH - 1)
    return queue, f'{{"class":{ruby_json.quote(name)},"args":{text}}}'


def _clip(lines: Sequence[str]) -> list[str]:
    """Return a backtrace without its middle if it is too long to store."""
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
