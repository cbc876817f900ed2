"""Text from Redis is text: no name and no value of any key becomes markup or a line.

Each text stands in every name and value of every key (tests/support/every_key.py; a
page that reads further keys adds a Filler there), in the path and in each query. All
routes are fetched, so pages that come later are covered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import html5lib
import pytest
import redis as redis_py
from werkzeug.test import TestResponse

import resqued
from resqued.core.visible_text import visible
from resqued.web.routes import Route
from tests.support import route_samples
from tests.support.every_key import LONE_SURROGATE, fill, fill_values, key
from tests.support.pages import Pages
from tests.support.plain_html import elements
from tests.support.route_samples import paths_of, with_queries

# Several in one, where each does the same harm wherever it stands.
TEXTS = {
    "elements": b"<img src=x onerror=alert(1) hostile><hostile>"
    b"' hostile='1' x='&lt;hostile&gt;&#60;hostile> hostile=1 style=x onclick=alert(1)",
    "ends": b'"><svg onload=alert(1) hostile=1><hostile>'
    b"</script></style></textarea></title><script hostile>alert(1)</script>"
    b"--><!--<hostile>]]>{{ 7 * '7' }}{% raw %}<hostile>",
    "lines": "a\u202eb\u2066c\u200bd".encode()
    + b'\0\nresqued_forged 1\nqueues.forged=1\r\nX-Forged: 1\r\n\r\n"b',
    "link": b"javascript:alert(1)",
    "other site": b"//evil.example/x",
    "surrogate": b"a" + LONE_SURROGATE,
    "not UTF-8": b"\xff\xfe<hostile>\x80",
    "path": b"../../../etc/passwd%2e%2e%2f%00%s%(x)s{0}",
    "dots": b"..",
    "empty": b"",
    "long": b"<hostile>" * 600,
}
# What stands where JSON has a value and a query has a number.
VALUES = {
    "number": b"NaN",
    "large number": b"9" * 400,
    "negative": b"-1",
    "deep": b"[" * 3_000,
    "nested": b"[" * 600 + b"]" * 600,
    "infinite": b"1e999",
}
_ELEMENT = re.compile(r"<([a-z][a-z0-9]*)")
_ATTRIBUTE = re.compile(r"[\s{%}]([a-zA-Z][\w:-]*)=[\"']")
_WEB = Path(resqued.__file__).parent / "web"
_SOURCES = [p.read_text() for p in (*_WEB.glob("templates/*"), *_WEB.glob("*.py"))]
# The elements and attributes that our templates and views write.
OUR_ELEMENTS = {name for text in _SOURCES for name in _ELEMENT.findall(text)} | {
    *("html", "head", "body", "tbody")
}
OUR_ATTRIBUTES = {name for text in _SOURCES for name in _ATTRIBUTE.findall(text)} | {
    # These have no value.
    *(name for text in _SOURCES for name in re.findall(r"\bdata-[a-z-]+", text)),
    *("hidden", "checked", "disabled", "required", "selected", "autofocus", "defer"),
    *("open", "multiple", "readonly"),
}
_LINKS = ("href", "src", "action", "formaction", "data", "poster", "xlink:href")
_ORIGIN = "http://localhost"
_HIDDEN = re.compile("[\0\u202e\u2066\u200b\ud800-\udfff\ufffe\uffff]")
# What differs from one answer to the next in any case.
_ID = re.compile(rb"\b[0-9a-f]{12}\b")


def fetch_all(
    pages: Pages, redis: redis_py.Redis, text: bytes
) -> Iterator[tuple[str, TestResponse]]:
    """Yield each path of each route, its queries and its parts, with the answer."""
    for route in route_samples.routes("GET"):
        for path in paths_of(route, redis, text):
            found = pages.client.get(path)
            yield path, found
            yield from _variants(pages, route, path, text, found)


def _variants(
    pages: Pages, route: Route, path: str, text: bytes, found: TestResponse
) -> Iterator[tuple[str, TestResponse]]:
    sign = "&" if "?" in path else "?"
    variants = with_queries(route, path, text)
    if found.mimetype == "text/html" and route.capability:
        parts = re.findall(r'data-live="([a-z_]+)"', found.text)
        variants += [f"{path}{sign}part={part}" for part in parts]
    for each in variants:
        yield each, pages.client.get(each)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_no_text_becomes_markup(
    pages: Pages, redis: redis_py.Redis, text: bytes
) -> None:
    fill(redis, text)
    check_all(fetch_all(pages, redis, text))


def test_every_page_is_valid_as_browsers_read_it(
    pages: Pages, redis: redis_py.Redis
) -> None:
    fill(redis, TEXTS["elements"])
    for route in route_samples.routes("GET"):
        for path in paths_of(route, redis, TEXTS["elements"]):
            found = pages.client.get(path)
            if found.mimetype == "text/html":
                parse(found.text)


def test_no_value_is_a_fault(pages: Pages, redis: redis_py.Redis) -> None:
    """Each value stands in a key of its own, and in each query."""
    first, *others = VALUES.values()
    fill(redis, first)
    fill_values(redis, *others)
    check_all(fetch_all(pages, redis, first))
    for text in others:
        queries = (
            each
            for route in route_samples.routes("GET")
            for path in paths_of(route, redis, text)
            for each in [path, *with_queries(route, path, text)]
        )
        check_all((each, pages.client.get(each)) for each in dict.fromkeys(queries))


def check_all(answers: Iterable[tuple[str, TestResponse]]) -> None:
    """Check answers; those that are equal but for ids only once."""
    checked = set()
    for path, found in answers:
        # Headers are not equal where the location is not.
        content = _ID.sub(b"", found.get_data()), found.location, found.mimetype
        if found.status_code < 500 and content in checked:
            continue
        checked.add(content)
        problem = ""
        try:
            check(path, found)
        except Exception as error:
            # Messages between the processes of the suite must be UTF-8.
            problem = ascii(f"{path}: {error!r}")[:2_000]
        if problem:
            pytest.fail(problem, pytrace=False)


def check(path: str, found: TestResponse) -> None:
    """Raise unless an answer is well formed and has nothing that is not ours."""
    assert found.status_code < 500, (path, found.status, found.text[:500])
    is_download = "attachment" in found.headers.get("Content-Disposition", "")
    text = found.get_data().decode("utf-8", "replace" if is_download else "strict")
    assert found.headers["X-Content-Type-Options"] == "nosniff", path
    assert "X-Forged" not in found.headers, path
    goal = (found.location or "/").removeprefix(_ORIGIN)
    assert re.match(r"/(?![/\\])", goal), (path, goal)
    if found.mimetype == "text/html":
        # The page of a redirect is Werkzeug's, and less plain than ours.
        found_elements = _as_browsers_read(text) if found.location else elements(text)
        _check_html(path, text, found_elements)
    elif found.mimetype.endswith("json"):
        json.loads(text, parse_constant=_refuse)
        text.encode("ascii")
    elif not is_download:
        assert found.mimetype in ("text/plain", "application/yaml"), (path, found)
        _check_lines(path, text)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _as_browsers_read(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for each in html5lib.parse(text, namespaceHTMLElements=False).iter():
        yield each.tag, dict(each.attrib)


def _check_html(
    path: str, text: str, found: Iterable[tuple[str, dict[str, str]]]
) -> None:
    assert not _HIDDEN.search(text), (path, visible(_HIDDEN.findall(text)[0]))
    for tag, attributes in found:
        assert tag in OUR_ELEMENTS, (path, tag)
        for name, value in attributes.items():
            _check_attribute(path, tag, name, value)


def parse(text: str) -> None:
    """Raise unless a page, or a part of one, is valid HTML as browsers read it."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    is_page = text.lstrip().lower().startswith("<!doctype")
    parser.parse(text) if is_page else parser.parseFragment(text)


def _check_attribute(path: str, tag: str, name: str, value: str) -> None:
    assert name in OUR_ATTRIBUTES, (path, tag, name, value[:200])
    assert name != "style", (path, tag, value[:200])
    assert not name.startswith("on"), (path, tag, name, value[:200])
    if name in _LINKS:
        goal = value.removeprefix(_ORIGIN)
        assert re.match(r"(/(?![/\\])|[?#]|$)", goal), (path, tag, name, value[:200])


def _check_lines(path: str, text: str) -> None:
    forged = [
        line
        for line in text.split("\n")
        if line.startswith(("resqued_f", "queues.f"))
        and "forged" in line.split("=")[0].split(" ")[0].split("{")[0]
    ]
    assert not forged, (path, forged[:3])


def test_large_elements_are_cut(pages: Pages, redis: redis_py.Redis) -> None:
    fill(redis, b"critical")
    large = b"<hostile>\xff" * 300_000
    redis.lpush(key("queue:critical"), large)
    redis.rpush(key("failed"), large, b'{"error":"%s"}' % large)
    redis.rpush(key("resqued:quarantine"), large)
    redis.lpush(key("delayed:critical"), large)
    redis.set(key("worker:web1:1:critical"), large)
    redis.set(key("resqued:master:critical"), large)
    redis.hset(key("resqued:jobs"), "critical", large)
    redis.hset(key("resqued:schedules"), "critical", large)
    redis.xadd(key("resqued:audit"), {"action": large})
    for path, found in fetch_all(pages, redis, b"critical"):
        check(path, found)
        is_download = "attachment" in found.headers.get("Content-Disposition", "")
        assert is_download or len(found.get_data()) < 1 << 20, path
