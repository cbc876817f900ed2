"""The keys of the namespace, for administrators: by SCAN, a part at a time."""

from __future__ import annotations

import re

from flask import Response, abort, request, url_for

from resqued.store.key_browser import KeyBrowser
from resqued.web.formats import queue_of_request
from resqued.web.paging import LAST_CURSOR
from resqued.web.raw_text import shown_bytes
from resqued.web.render import page
from resqued.web.site import site

_CURSOR = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)


def _browser() -> KeyBrowser:
    return KeyBrowser(site().client.registry.link, site().keys)


def _cursor() -> str:
    found = request.args.get("cursor", "")
    if not _CURSOR.fullmatch(found):
        return ""
    # The server refuses larger ones.
    return found if max(map(int, found.split("-"))) <= LAST_CURSOR else ""


def show_all() -> Response:
    """Show a part of the keys, with their types and sizes."""
    wanted = request.args.get("q", "")[:200]
    cursor = _cursor().partition("-")[0] or "0"
    found = _browser().page(cursor, wanted)
    has_more = found.cursor != "0"
    after = url_for("keys.show_all", q=wanted or None, cursor=found.cursor)
    return page("keys.html", found=found, wanted=wanted, after=has_more and after)


def show(name: str) -> Response:
    """Show a part of the value of a key."""
    key = queue_of_request(name)
    value = _browser().read(key, _cursor())
    if value is None:
        abort(
            404, f"there is no key {key[:200]!r} any more: the list of keys has others"
        )
    rows = [(label, shown_bytes(raw), len(raw)) for label, raw in value.rows]
    name64 = request.args.get("name64")
    after = url_for("keys.show", name=name, name64=name64, cursor=value.cursor)
    return page(
        "key.html", name=key, value=value, rows=rows, after=value.cursor and after
    )
