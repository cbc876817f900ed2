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
from typing import Any
from urllib.parse import quote, urlencode

import redis as redis_py
import yaml

import resqued
from resqued.store.failure_entry import Failure
from resqued.store.quarantine import QuarantinedJob
from resqued.web.routes import ROUTES, Route
from tests.support.every_key import key

# What anybody may see and send: pages without a capability are these alone.
PUBLIC = {"/healthz", "/readyz", "/login", "/logout"}
# These begin or stop a task that only reads, so they may be sent to read-only pages.
# Each task decides about itself.
READING_POSTS = {"/failed/search", "/tasks/<task_id>", "/api/v1/tasks/order"}

API = "/api/v1"
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
    # Of several fixed words, the first.
    template = re.sub(r"<any\((\w+)[^)]*\):\w+>", r"\1", route.path)
    names = _VARIABLE.findall(template)
    missing = sorted(set(names) - SAMPLES.keys())
    assert not missing, (
        f"the route {route.path} has no sample for {', '.join(missing)}: add a row to"
        f" SAMPLES in {__name__.replace('.', '/')}.py"
    )
    for values in product(*(SAMPLES[name](redis, text) for name in names)):
        path, queries = template, []
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


@cache
def described_paths() -> dict[str, Any]:
    """Return what openapi.yaml says of the paths of the API, by those of routes."""
    found = yaml.safe_load((_WEB / "static" / "openapi.yaml").read_text())
    shared = found["components"]["parameters"]
    for methods in found["paths"].values():
        for about in methods.values():
            about["parameters"] = [
                shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
                for each in about.get("parameters", ())
            ]
    return {
        API + path.replace("{", "<").replace("}", ">"): methods
        for path, methods in found["paths"].items()
    }


def with_queries(route: Route, path: str, text: bytes) -> list[str]:
    """Return a path with the text in its queries.

    Of pages in all that any view reads; of the API in each one alone, and in all that
    can hold any text.
    """
    sign = "&" if "?" in path else "?"
    if not route.path.startswith(API):
        return [path + sign + urlencode(dict.fromkeys(query_names(), text))]
    listed = described_paths()[route.path]["get"]["parameters"]
    names = [each["name"] for each in listed if each["in"] == "query"]
    texts = dict.fromkeys(set(names) & {"name", "class", "exception", "q"}, text)
    each = [path + sign + urlencode({name: text}) for name in names]
    coded = base64.urlsafe_b64encode(text)
    named = [f"{path}{sign}name64={coded.decode()}"] if "name64" in names else []
    return [*each, *named, path + sign + urlencode(texts)]


def routes(method: str) -> list[Route]:
    """Return the routes that take a method."""
    return [route for route in ROUTES if method in route.methods]
