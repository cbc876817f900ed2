"""The queues: who serves each, what is wrong with it; and lists without a name."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import join_names, pluralize
from resqued.diagnostics.queue_service import QueueService
from resqued.store.namespaces import unlisted_queues
from resqued.web import audit
from resqued.web.acting import done
from resqued.web.formats import decoded_name
from resqued.web.paging import LAST_CURSOR, Pages, number_in, pages_of
from resqued.web.render import page, snapshot
from resqued.web.shown_hours import QueueHours, total_hour
from resqued.web.site import site
from resqued.wire.payload import class_of

_PER_PAGE = 100
# The most names in a message.
_NAMED = 5
_ORDERS = ("name", "size", "attention")


def show_all() -> Response:
    """Show all queues, in pages."""
    names = _wanted()
    order = request.args.get("sort", "name")
    services = snapshot().services
    if order == "attention":
        among = set(names)
        ranked = [each for each in services.ranked() if each.name in among]
        shown, pages = _page(ranked)
    else:
        sizes = snapshot().queues
        if order == "size":
            names.sort(key=lambda name: (-sizes[name], name))
        few, pages = _page(names)
        shown = [services.of(name) for name in few]
    return page(
        "queues.html",
        queues=[(queue, following) for queue, following in _with_next(shown)],
        hours=QueueHours(queue.name for queue in shown),
        total_hour=total_hour,
        pages=pages,
        order=order,
    )


def _wanted() -> list[str]:
    """Return the names of the queues that the filter of the URL lets pass."""
    sizes = snapshot().queues
    text = request.args.get("q", "")[:200]
    hides_empty = bool(request.args.get("hide_empty"))
    return [n for n, size in sizes.items() if text in n and (size or not hides_empty)]


def _page(found: list[Any]) -> tuple[list[Any], Pages]:
    pages = pages_of(len(found), _PER_PAGE)
    return found[pages.start : pages.end], pages


def _with_next(shown: list[QueueService]) -> list[tuple[QueueService, str]]:
    """Return the queues of a page with the class of the next job of each."""
    full = [queue.name for queue in shown if queue.size]
    heads = dict(zip(full, site().queues.heads(full), strict=True)) if full else {}
    return [
        (queue, class_of(raw) if (raw := heads.get(queue.name)) else "")
        for queue in shown
    ]


def remove_empty() -> BaseResponse:
    """Remove the selected queues, as far as they are empty."""
    names = [decoded_name(each) for each in request.form.getlist("id")]
    if len(names) > _PER_PAGE:
        abort(400, f"at most {_PER_PAGE} queues at a time")
    if not names:
        return done("No queue was selected.", url_for("queues.show_all"), "warn")
    count = site().queues.remove_empty(names)
    audit.record("remove_queue", join_names(names, _NAMED), count=count)
    others = len(names) - count
    rest = f"; {pluralize(others, 'other')} had jobs and stayed" if others else ""
    message = f"Removed {pluralize(count, 'empty queue')}{rest}."
    return done(message, url_for("queues.show_all"), "warn" if others else "good")


def show_unlisted() -> Response:
    """Look for lists of jobs whose names are not in the set of queues."""
    begin = number_in(request.args.get("cursor", "0"), digits=20)
    if begin is None or begin > LAST_CURSOR:
        abort(404, "the cursor is a number: begin at the list of queues")
    link = site().client.registry.link
    names, cursor = unlisted_queues(link, site().keys, begin, listed=snapshot().queues)
    lengths = site().queues.lengths(names)
    found = list(zip(names, lengths, strict=True))
    return page("unlisted_queues.html", queues=found, cursor=cursor)


def add_names() -> BaseResponse:
    """Put the selected names into the set of queues."""
    names = [decoded_name(each) for each in request.form.getlist("id")][:500]
    added = [name for name in names if site().queues.add_name(name)]
    audit.record("add_queue", join_names(added, _NAMED), count=len(added))
    message = f"Put {pluralize(len(added), 'queue')} into the set of queues."
    return done(message, url_for("queues.show_all"))
