"""URLs for every route of the web front end, so that tests can walk over all of them.

A new route whose path has a variable of a new name needs a row in SAMPLES; the error of
`paths_of` says so. Queries are found in the sources of the views.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from urllib.parse import quote, urlencode

import redis as redis_py

import resqued
from resqued.store.failure_entry import Failure
from resqued.store.quarantine import QuarantinedJob
from resqued.web.routes import ROUTES, Route
from tests.support.every_key import key

# What anybody may see and send: pages without a capability are these alone.
PUBLIC = {"/healthz", "/readyz", "/login", "/logout"}
# These begin or stop a task that only reads, so they may be sent to read-only pages.
# Each task decides about itself.
READING_POSTS = {"/failed/search", "/tasks/<task_id>"}

Sample = Callable[[redis_py.Redis, bytes], Sequence[str]]
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
_QUERY = re.compile(r"""\b(?:args|values)\.get(?:list)?\(\s*"(\w+)\"""")
_WEB = Path(resqued.__file__).parent / "web"


def in_path(text: bytes) -> str:
    """Return a text as a part of a path."""
    return quote(text)


def _name(_: redis_py.Redis, text: bytes) -> list[str]:
    coded = base64.urlsafe_b64encode(text).decode()
    return [in_path(text), f"-?name64={coded}", f"web1:1:{in_path(text)}", "-?name64=!"]


def _failure_id(redis: redis_py.Redis, _: bytes) -> list[str]:
    entries = redis.lrange(key("failed"), 0, -1)
    return [*(Failure(entry).id for entry in entries), "nothing"]


def _quarantine_id(redis: redis_py.Redis, _: bytes) -> list[str]:
    entries = redis.lrange(key("resqued:quarantine"), 0, -1)
    return [*(QuarantinedJob(entry).id for entry in entries), "nothing"]


def _odd(_: redis_py.Redis, text: bytes) -> list[str]:
    return ["1", in_path(text)]


# What stands for the variables of paths, by their names.
SAMPLES: dict[str, Sample] = {
    "name": _name,
    "failure_id": _failure_id,
    "quarantine_id": _quarantine_id,
    "job_id": _odd,
    "master_id": _odd,
    "number": _odd,
    "task_id": _odd,
}


def paths_of(route: Route, redis: redis_py.Redis, text: bytes) -> Iterator[str]:
    """Yield paths of a route; its variables stand for the text, or for what has it."""
    names = _VARIABLE.findall(route.path)
    missing = sorted(set(names) - SAMPLES.keys())
    assert not missing, (
        f"the route {route.path} has no sample for {', '.join(missing)}: add a row to"
        f" SAMPLES in {__name__.replace('.', '/')}.py"
    )
    for values in product(*(SAMPLES[name](redis, text) for name in names)):
        path, queries = route.path, []
        for name, value in zip(names, values, strict=True):
            plain, _, query = value.partition("?")
            path = re.sub(rf"<(?:\w+:)?{name}>", lambda _, p=plain: p, path)
            queries += [query] if query else []
        yield f"{path}?{'&'.join(queries)}" if queries else path


@cache
def query_names() -> tuple[str, ...]:
    """Return the names of all queries that the views read."""
    found = {
        name
        for path in sorted(_WEB.glob("*.py"))
        for name in _QUERY.findall(path.read_text())
    }
    return tuple(sorted(found - {"part", "name64"}))


def with_queries(path: str, text: bytes) -> str:
    """Return a path with the text in each query that any view reads."""
    query = urlencode(dict.fromkeys(query_names(), text))
    return f"{path}{'&' if '?' in path else '?'}{query}"


def routes(method: str) -> list[Route]:
    """Return the routes that take a method."""
    return [route for route in ROUTES if method in route.methods]
