"""The queues, and the jobs that wait in one."""

from __future__ import annotations

from flask import Response, abort, request

from resqued.web.formats import queue_named
from resqued.web.paging import page_of, pages_of
from resqued.web.render import page, snapshot
from resqued.web.site import site

_PER_PAGE, _JOBS = 100, 50


def show_all() -> Response:
    """Show all queues, in pages."""
    wanted = request.args.get("q", "")[:200]
    found = [item for item in snapshot().queues.items() if wanted in item[0]]
    if request.args.get("hide_empty"):
        found = [item for item in found if item[1]]
    if request.args.get("sort", "name") == "size":
        found.sort(key=lambda item: (-item[1], item[0]))
    shown = page_of(found, _PER_PAGE)
    return page("queues.html", queues=shown, pages=pages_of(len(found), _PER_PAGE))


def show(name: str) -> Response:
    """Show the jobs that wait in a queue, the next one first."""
    try:
        queue = queue_named(name, request.args.get("name64", ""))
    except ValueError as error:
        abort(404, str(error))
    size = site().queues.size(queue)
    pages = pages_of(size, _JOBS)
    jobs = site().queues.peek(queue, pages.start, _JOBS)
    return page("queue.html", queue=queue, size=size, jobs=jobs, pages=pages)
