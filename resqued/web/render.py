"""Pages and their live parts.

A template has blocks named part_NAME inside <section data-live="NAME">. A request with
?part=NAME gets that block alone; its tag (HX-PTag) says whether it has changed.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

from flask import Response, abort, current_app, g, make_response, request

from resqued.core.roles import VIEW
from resqued.errors import StoreError
from resqued.web.identity import current_user
from resqued.web.site import site
from resqued.web.snapshot import SiteSnapshot

_TAG = "HX-PTag"
# The next interval of a live part, in milliseconds, which the server alone chooses.
INTERVAL = "X-Interval"
_FAST = 2_000
# A part that took longer than this, in seconds, is asked for less often.
_SLOW = 0.3
_PART = re.compile(r"[a-z_]{1,40}")


def page(
    template: str, *, status: int = 200, interval: int = _FAST, **values: Any
) -> Response:
    """Return a page, or the part of it that the request asks for.

    A part is asked for again after `interval` milliseconds, or later.
    """
    part = request.args.get("part", "")
    if g.get("is_fragment"):
        return _fragment(template, values, status)
    if not part:
        text = _template(template).render(**_frame(), **values)
        return make_response(text, status)
    if not _PART.fullmatch(part):
        abort(404, f"the page has no part {part[:40]!r}")
    answer = _part(template, part, values)
    answer.headers[INTERVAL] = str(_next_interval(interval))
    return answer


def _fragment(template: str, values: dict[str, Any], status: int) -> Response:
    """Return the content of a page without its frame, as Resque's script polls it."""
    found = _template(template)
    context = found.new_context({**_frame(), **values})
    return make_response("".join(found.blocks["main"](context)), status)


def _part(template: str, part: str, values: dict[str, Any]) -> Response:
    found = _template(template)
    block = found.blocks.get(f"part_{part}")
    if block is None:
        abort(404, f"the page has no part {part!r}")
    context = found.new_context({**_frame(), **values})
    text = "".join(block(context))
    tag = hashlib.sha256(text.encode()).hexdigest()[:16]
    unchanged = request.headers.get(_TAG) == tag
    response = make_response("" if unchanged else text, 304 if unchanged else 200)
    response.headers[_TAG] = tag
    return response


def _next_interval(least: int) -> int:
    took = time.monotonic() - g.began
    return int(max(least, 10_000 * took)) if took > _SLOW else least


def _template(name: str) -> Any:
    return current_app.jinja_env.get_template(name)


def _frame() -> dict[str, Any]:
    """Return what the frame of every page shows: the snapshot, if there is one.

    Before a login there is none: banners name queues and users.
    """
    user = current_user()
    if user is None or not user.may(VIEW):
        return {"snapshot": None, "trouble": ""}
    try:
        return {"snapshot": snapshot(), "trouble": ""}
    except StoreError as error:
        return {"snapshot": None, "trouble": str(error)}


def snapshot() -> SiteSnapshot:
    """Return the snapshot of this request, always the same one; raise StoreError."""
    if "snapshot" not in g:
        g.snapshot = site().keeper.get()
    found: SiteSnapshot = g.snapshot
    return found
