"""One URL for each page of the web front end, found by following its links.

The routes say which pages there are. A page whose URL names something, such as a queue,
is found by a link or a form of another page, so a new page needs no line here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlencode, urljoin, urlsplit
from xml.etree.ElementTree import Element

import html5lib
from flask import Flask
from werkzeug.exceptions import HTTPException

from resqued.core.roles import METRICS
from resqued.web.routes import GET, ROUTES

# Endpoints that answer a GET with no page of their own: files, redirections, refusals
# and what programs ask for. A route is here or has a page.
NO_PAGE = frozenset(
    {
        "overview.index",
        "overview.find",
        "search.find",
        "frame.show",
        "health.healthz",
        "health.readyz",
        "failed.refuse_get",
        "failure.raw",
        "queue.download",
        "working.show",
        "stats.show",
        # Only where there are passwords: tests/browser/test_live_update.py.
        "login.show",
    }
)
# Pages that no link leads to before somebody has sent a form.
UNLINKED = {
    "failed_search.show": "/failed/search/b2c3d4e5f6a1",
}
# Other states of pages, which no link leads to.
VARIANTS = {
    "queues, none": "/queues?q=no-queue-is-called-so",
    "a queue with odd jobs": "/queues/imports",
    "an empty queue": "/queues/search/index",
    "no such page": "/no-such-page",
}


def page_endpoints() -> list[str]:
    """Return the endpoint of each route that has a page."""
    found = [
        route.endpoint
        for route in ROUTES
        if route.methods == GET
        and route.capability != METRICS
        and not route.path.startswith("/api/")
        and not route.path.endswith((".txt", ".poll"))
    ]
    return [each for each in dict.fromkeys(found) if each not in NO_PAGE]


def tour(app: Flask) -> dict[str, str]:
    """Return a URL for each endpoint that answers with a page, as an administrator."""
    client, adapter = app.test_client(), app.url_map.bind("localhost")
    found: dict[str, str] = {}
    # Pages without a name in the URL first, and by the shortest way.
    plain = (each for each in ROUTES if each.methods == GET and "<" not in each.path)
    known = {route.endpoint for route in ROUTES}
    sent = (url for endpoint, url in UNLINKED.items() if endpoint in known)
    ahead = deque([*(route.path for route in plain), *sent])
    seen: set[str] = set(ahead)
    tried: dict[str, int] = {}
    wanted = set(page_endpoints())
    while ahead:
        url = ahead.popleft()
        try:
            endpoint, _ = adapter.match(urlsplit(url).path, method="GET")
        except HTTPException:
            continue
        tried[endpoint] = tried.get(endpoint, 0) + 1
        if endpoint in found or endpoint not in wanted or tried[endpoint] > 20:
            continue
        answer = client.get(url)
        if answer.status_code != HTTPStatus.OK or answer.mimetype != "text/html":
            continue
        found[endpoint] = url
        fresh = [each for each in _links(url, answer.text) if each not in seen]
        seen.update(fresh)
        ahead.extend(fresh)
    return found


def _links(url: str, html: str) -> Iterator[str]:
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    targets = [each.get("href", "") for each in tree.iter("a")]
    for form in tree.iter("form"):
        if form.get("method", "get").lower() == "get":
            targets.append(_target(form, form.get("action", "")))
        targets += [
            _target(form, button.get("formaction", ""))
            for button in form.iter("button")
            if button.get("formmethod", "").lower() == "get"
        ]
    for target in targets:
        whole = urljoin(url, target)
        if whole.startswith("/"):
            yield whole.partition("#")[0]


def _target(form: Element, action: str) -> str:
    fields = [
        (each.get("name", ""), each.get("value", "on"))
        for each in form.iter("input")
        if each.get("name")
    ]
    return f"{action.partition('?')[0]}?{urlencode(fields)}" if fields else action
