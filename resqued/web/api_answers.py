"""Questions and answers of the JSON API: queries, bodies, cursors, tags, problems.

Every parameter has a bound, and an unknown one is refused: a filter with a spelling
mistake must not choose everything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from flask import Response, request
from msgspec import Struct
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from resqued.core.bounded_json import Bounds
from resqued.core.visible_text import bytes_of
from resqued.web.coded_names import encoded_name, read_name
from resqued.web.formats import queue_named
from resqued.web.paging import number_in
from resqued.web.render import snapshot
from resqued.web.site import site
from resqued.web.snapshot import SiteSnapshot
from resqued.wire import ruby_json

T = TypeVar("T")

DEFAULT, MOST = 100, 1_000
LONGEST_TEXT, LONGEST_NAME, MOST_IDS = 500, 8_192, 200
# The farthest place that a request may begin at.
FARTHEST = 10_000_000
# Characters of all values in one answer.
_ROOM = 1 << 19
_LONG = frozenset({"name", "name64", "id", "id64", "after"})


class ApiProblem(HTTPException):
    """A problem that has more members than title, status and detail."""

    def __init__(self, status: int, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.code = status
        self.members = members


def refuse(status: int, detail: str, **members: Any) -> NoReturn:
    """End the request with a problem."""
    raise ApiProblem(status, detail, **members)


class Queries(Struct, frozen=True):
    """The queries of a request, by their names; those that were not sent are ""."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def number(self, name: str, default: int, most: int, least: int = 1) -> int:
        """Return a number; refuses what is none, or is not between least and most."""
        text = self[name] or str(default)
        found = number_in(text, digits=12)
        if found is not None and least <= found <= most:
            return found
        return refuse(422, f"{name}={text[:40]!r} is no number from {least} to {most}")

    @property
    def limit(self) -> int:
        """How many elements the answer may have."""
        return self.number("limit", DEFAULT, MOST)

    @property
    def short_limit(self) -> int:
        """How many elements the answer may have, where each may be large."""
        return self.number("limit", DEFAULT, MOST_IDS)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of some words, or "" if the query was not sent."""
        if self[name] not in ("", *choices):
            known = ", ".join(choices)
            refuse(422, f"{name}={self[name][:40]!r} is none of {known}")
        return self[name]

    def name(self, name: str = "name") -> str:
        """Return a name that was sent as text, or in base64 if it is not UTF-8."""
        return name_of(self[name], self[f"{name}64"], name)


def name_of(text: str, base: str, what: str) -> str:
    """Return the name of a text, or of its base64; refuses if there is neither."""
    try:
        found = queue_named(text, base)
    except ValueError:
        refuse(422, f"{what}64 is no base64")
    if not text and not base:
        refuse(422, f"{what} is missing: send {what}, or {what}64 if it is not UTF-8")
    if text and base and named(found, what)[what] != text:
        refuse(422, f"{what} and {what}64 are two names: send one of both")
    return found


def queries(*known: str) -> Queries:
    """Return the queries of the request; refuses unknown and long ones."""
    for name, texts in request.args.lists():
        if name not in known:
            listed = ", ".join(known) or "none"
            refuse(422, f"there is no parameter {name[:40]!r} here, only {listed}")
        if len(texts) > 1:
            refuse(422, f"the parameter {name} was sent {len(texts)} times")
        (text,) = texts
        longest = LONGEST_NAME if name in _LONG else LONGEST_TEXT
        if len(text) > longest:
            refuse(422, f"{name} has {len(text)} characters: at most {longest}")
    return Queries(request.args.to_dict())


def body(**kinds: type) -> dict[str, Any]:
    """Return the object that was sent, with values of the types of known names.

    A name that was not sent is not in it. Refuses anything else.
    """
    queries()
    _check_type()
    try:
        text = _sent().decode("utf-8")
        sent = ruby_json.decode(text)
        json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        refuse(422, f"the body is no JSON: {str(error)[:200]}")
    if not isinstance(sent, dict):
        refuse(422, "the body is no JSON object")
    for name, value in sent.items():
        if name not in kinds:
            refuse(422, f"there is no {name[:40]!r} here: {', '.join(kinds)}")
        # In Python, true and false are numbers.
        is_bool = isinstance(value, bool)
        if not isinstance(value, kinds[name]) or is_bool != (kinds[name] is bool):
            refuse(422, f"{name} is no {_KINDS[kinds[name]]}")
    return sent


_KINDS = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    list: "list",
    dict: "object",
}


def _sent() -> bytes:
    """Return the body; refuses one that is too long."""
    try:
        return request.get_data()
    except RequestEntityTooLarge:
        most = (request.max_content_length or 0) >> 20
        return refuse(413, f"the body is too long: it may have {most} MiB")


def _check_type() -> None:
    """Refuse a body that says that it is something else than JSON in UTF-8."""
    if request.content_encoding:
        refuse(415, "the body is compressed: send it as it is")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    is_json = request.is_json and charset in ("utf-8", "utf8")
    if request.mimetype and not is_json:
        refuse(
            415,
            f"the body is {(request.content_type or '')[:80]!r}: send JSON in UTF-8,"
            " with Content-Type: application/json (curl --json)",
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise ValueError for a name that it has twice.

    Of two values, other programs might have meant the first.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is in an object twice")
    return found


def name_in(sent: Mapping[str, Any], name: str = "name") -> str:
    """Return the name that a body has as text, or in base64 if it is not UTF-8."""
    return name_of(sent.get(name, ""), sent.get(f"{name}64", ""), name)


def ids_in(sent: Mapping[str, Any]) -> list[str]:
    """Return the ids of a body, each once."""
    ids = sent.get("ids", [])
    if not ids or not all(isinstance(each, str) for each in ids):
        refuse(422, 'ids is missing: {"ids": ["3f2a91c04d7e"]}')
    if len(ids) > MOST_IDS or max(map(len, ids)) > LONGEST_TEXT:
        refuse(422, f"{len(ids)} ids at once: at most {MOST_IDS}")
    return list(dict.fromkeys(ids))


def named(name: str, what: str = "name") -> dict[str, str]:
    """Return a name as answers have it: with its base64 if it is not UTF-8."""
    raw = bytes_of(name)
    text = raw.decode("utf-8", "backslashreplace")
    found = {what: text}
    if text != name:
        found[f"{what}64"] = encoded_name(name)
    return found


def raw_bytes(raw: bytes) -> dict[str, Any]:
    """Return bytes as answers have them: text, or base64 if they are not UTF-8."""
    part = raw[:LONGEST_NAME]
    cut = {"cut": True} if len(part) < len(raw) else {}
    try:
        return {"raw": part.decode(), **cut}
    except UnicodeDecodeError:
        return {"raw64": base64.b64encode(part).decode(), **cut}


def after(items: Sequence[T], key: Callable[[T], str], limit: int) -> dict[str, Any]:
    """Return a page of items that are sorted by a text, and the cursor of the next.

    The cursor is the text of the last item, so that none is left out or comes twice
    when others come or go.
    """
    last = _cursor()
    rest = [each for each in items if key(each) > last] if last else list(items)
    page = rest[:limit]
    is_all = len(rest) <= limit
    return {"items": page, "next": None if is_all else encoded_name(key(page[-1]))}


def _cursor() -> str:
    text = request.args.get("after", "")
    try:
        return read_name(text)
    except ValueError:
        refuse(422, "after is no cursor: take that of `next`")


def queue_size(name: str) -> int:
    """Return how many jobs a queue has; refuses one that is not there, or no list."""
    (size,) = site().queues.lengths([name])
    if size is None:
        key = f"the key of queue {name[:100]!r}"
        refuse(409, f"{key} is no list: another program has written it")
    if not size and name not in site().queues.names():
        refuse(404, f"there is no queue {name[:100]!r}: GET queues lists them")
    return size


def fresh_snapshot() -> SiteSnapshot:
    """Return a snapshot of the last second; a program gets no older one."""
    found = snapshot()
    if found.problem:
        refuse(503, f"Redis: {found.problem}", stale=True, age=round(found.age, 1))
    return found


def answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer with its tag; 304 if the reader has it already."""
    bounds = Bounds(_ROOM)
    shown = bounds.bounded(value)
    if bounds.has_cut:
        shown["cut"] = True
    text = json.dumps(shown, allow_nan=False)
    response = Response(f"{text}\n", status, mimetype="application/json")
    if request.method in ("GET", "HEAD"):
        response.add_etag()
        response.make_conditional(request)
    return response
