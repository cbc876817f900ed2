"""The first page: figures, what needs attention, running jobs, failures."""

from __future__ import annotations

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.store.namespaces import other_namespaces
from resqued.web.render import page, snapshot
from resqued.web.site import site

_QUEUES, _JOBS = 20, 10


def index() -> BaseResponse:
    """Go to the overview."""
    return redirect(url_for("overview.show"))


def show() -> Response:
    """Show the overview: queues that need attention first, then the longest."""
    now = snapshot()
    ranked = now.services.by_attention()
    return page(
        "overview.html",
        queues=ranked[:_QUEUES],
        more_full=max(0, len(ranked) - _QUEUES),
        empty_count=len(now.queues) - len(ranked),
        running=now.working[:_JOBS],
        failures=now.newest_failures,
        namespaces=None,
    )


def show_namespaces() -> Response:
    """Show the other namespaces of the database that have queues."""
    link = site().client.registry.link
    found = other_namespaces(link, site().keys)
    return page("other_namespaces.html", namespaces=found)
