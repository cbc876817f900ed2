"""How pages show values: counts, durations, sizes, times, names of queues, payloads."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import abort, current_app, request, url_for
from msgspec import Struct

from resqued.core.durations import show_seconds, show_size
from resqued.core.redaction import HIDDEN, arguments, redacted
from resqued.core.roles import VIEW_ARGS
from resqued.core.visible_text import bytes_of, shortened
from resqued.errors import PayloadError
from resqued.web.coded_names import encoded_name, read_name
from resqued.web.identity import current_user
from resqued.web.site import site
from resqued.wire import payload, timestamps

# The most characters of a payload on a page; the rest can be downloaded.
_LONGEST = 2_000
# The most characters of a name in a link: names in Redis have up to 512 MB.
_LONGEST_LINKED = 2_000
# The base64 of the empty name, because an empty parameter would be none.
EMPTY = "="
_MINUTE = 60
# Larger rates are shown as whole numbers.
_ROUNDED = 10
# Names of classes, queues, workers and hosts are read in these parts.
_PIECE = re.compile(r"[^.:,/]+[.:,/]*|[.:,/]+")
_MOST_PIECES = 40
# Stands where there is no value: an en dash.
NONE = "\u2013"


class JobView(Struct, frozen=True):
    """A payload as a page shows it.

    `args` has the shown text of each argument by its name or index; None if the user
    may not see arguments. `problem` is why the payload is no job; then `text` are its
    first bytes. `size` is in bytes.
    """

    class_name: str
    args: Mapping[str, str] | None
    size: int
    problem: str = ""
    text: str = ""


def job_view(raw: bytes) -> JobView:
    """Return a payload as the present user may see it."""
    try:
        job = payload.decode_job(raw)
    except PayloadError as error:
        # Of what is no job, nothing can be found that is to be hidden.
        sees = sees_args() and not site().settings.redact
        text = raw[:_LONGEST].decode("utf-8", "backslashreplace") if sees else HIDDEN
        name = payload.UNKNOWN_JOB
        return JobView(name, None, len(raw), str(error), text)
    return JobView(job.class_name, shown_args(job.class_name, job.args), len(raw))


def shown_raw(text: str) -> str:
    """Return a text in which arguments may be, if the user may see all of them."""
    return text if sees_args() and not site().settings.redact else HIDDEN


def shown_args(class_name: str, args: Any) -> Mapping[str, str] | None:
    """Return the shown arguments of a job by name; None if the user may not see any.

    The names are those that a master has written for the class.
    """
    if not sees_args():
        return None
    names = site().argument_names(class_name)
    found = args if isinstance(args, (list, tuple)) else [args]
    if names is None:
        return dict.fromkeys(map(str, range(len(found))), HIDDEN)
    return arguments(names, found, site().settings.redact)


def redacted_args(class_name: str, args: Iterable[object]) -> list[Any]:
    """Return the arguments of a job as values, in which [web] redact hides some."""
    secret = {name.lower() for name in site().settings.redact}
    names = site().argument_names(class_name)
    if names is None:
        return [HIDDEN for _ in args]
    return [
        HIDDEN
        if number < len(names) and names[number].lower() in secret
        else without_secrets(each)
        for number, each in enumerate(args)
    ]


def without_secrets(value: object) -> Any:
    """Return a value of JSON in which [web] redact hides the values of some keys."""
    return redacted(value, {name.lower() for name in site().settings.redact})


def sees_args() -> bool:
    """Return True if the present user may see the arguments of jobs."""
    user = current_user()
    return user is not None and user.may(VIEW_ARGS)


def count(value: float | None) -> str:
    """Return a number with separators, as in 12,345; a dash for none."""
    if value is None or not _is_number(value):
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Return a number per minute, with a digit behind the point below 10."""
    return f"{value:,.0f}" if value >= _ROUNDED else f"{value:.1f}".removesuffix(".0")


def _is_number(value: float) -> bool:
    """Return True but for what JSON of other programs calls NaN or Infinity."""
    return isinstance(value, int) or math.isfinite(value)


def duration(value: float | None) -> str:
    """Return seconds as 12s, 4m or 3h 5m; a dash for none."""
    if value is None or not _is_number(value):
        return NONE
    whole = max(0, int(value))
    if whole < _MINUTE:
        return f"{whole}s"
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, _MINUTE)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    shown = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join(shown[:2])


def iso(value: float | datetime | None) -> str:
    """Return a time in UTC for <time datetime>; "" for None."""
    if value is None:
        return ""
    if not isinstance(value, datetime):
        value = _in_utc(value)
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_utc(seconds: float) -> datetime | None:
    """Return the time of an epoch in seconds; None if no date can hold it."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def is_too_long(name: str) -> bool:
    """Return True if a name is too long for links: each repeats it, escaped."""
    return len(name) > _LONGEST_LINKED


def queue_url(name: str, endpoint: str = "queue.show") -> str:
    """Return the URL of a queue; of a name that no path can hold, with its base64."""
    if _is_plain(name):
        return url_for(endpoint, name=name)
    # "=" is the base64 of nothing too, and an empty name64 would be none.
    return url_for(endpoint, name="-", name64=encoded_name(name) or EMPTY)


def queue_named(name: str, name64: str) -> str:
    """Return the name of the queue that a URL of queue_url means; raise ValueError."""
    if not name64:
        return name
    if name64 == EMPTY:
        return ""
    try:
        return read_name(name64)
    except ValueError:
        raise ValueError(f"name64={name64[:40]!r} is no base64") from None


def worker_url(worker_id: str) -> str:
    """Return the URL of a worker, or of a host by its name."""
    return queue_url(worker_id, "workers.show")


def queue_of_request(name: str) -> str:
    """Return the name of the queue, worker or key in the URL of the request, or 404."""
    try:
        return queue_named(name, request.args.get("name64", ""))
    except ValueError as error:
        abort(404, str(error))


def decoded_name(text: str) -> str:
    """Return the name of `encoded_name`, or fail with 400."""
    try:
        return queue_named("", text) if text else ""
    except ValueError as error:
        abort(400, str(error))


def moment(value: object) -> datetime | None:
    """Return the time that a record has as text or in seconds; None if it has none."""
    if isinstance(value, str):
        return timestamps.read(value)
    if isinstance(value, (int, float)) and _is_number(value):
        return _in_utc(value)
    return None


def pieces(name: str) -> list[str]:
    """Return the parts of a name with what ends each, between which a line may break.

    Of a name with very many parts, the name is the only piece.
    """
    found = _PIECE.findall(name)
    return found if len(found) <= _MOST_PIECES else [name]


def digest_of(value: str | bytes) -> str:
    """Return 24 hex digits that stand for a text, in ids of rows and in forms."""
    raw = bytes_of(value) if isinstance(value, str) else value
    return hashlib.sha256(raw).hexdigest()[:24]


def here() -> str:
    """Return the URL of this page with its filter, for forms that come back to it."""
    assert request.endpoint is not None
    values = {name: text for name, text in request.args.items() if name != "part"}
    return url_for(request.endpoint, **{**values, **(request.view_args or {})})


def has_page(endpoint: str) -> bool:
    """Return True if there is a page of this name."""
    return endpoint in current_app.view_functions


def _is_plain(name: str) -> bool:
    """Return True if browsers and servers leave the name as it is in a path."""
    segments = name.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return False
    return name != "-" and name.isprintable()


def as_json(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "job_view": job_view,
    "shown_raw": shown_raw,
    "shown_args": shown_args,
    "is_too_long": is_too_long,
    "queue_url": queue_url,
    "worker_url": worker_url,
    "encoded_name": encoded_name,
    "digest_of": digest_of,
    "has_page": has_page,
    "here": here,
}
FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "rate": rate,
    "duration": duration,
    "size": show_size,
    "seconds": show_seconds,
    "iso": iso,
    "moment": moment,
    "pieces": pieces,
    "shortened": shortened,
    "as_json": as_json,
}
