"""The first page: figures, what needs attention, running jobs, failures."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.store.namespaces import other_namespaces
from resqued.web.render import page, snapshot
from resqued.web.shown_hours import QueueHours, total_hour
from resqued.web.site import site
from resqued.wire.master_record import MasterRecord

_QUEUES, _JOBS = 20, 10


def index() -> BaseResponse:
    """Go to the overview."""
    return redirect(url_for("overview.show"))


def show() -> Response:
    """Show the overview: queues that need attention first, then the longest."""
    now = snapshot()
    ranked = now.services.by_attention()
    shown = ranked[:_QUEUES]
    return page(
        "overview.html",
        total_hour=total_hour,
        queues=shown,
        hours=QueueHours(queue.name for queue in shown),
        more_full=max(0, len(ranked) - _QUEUES),
        empty_count=len(now.queues) - len(ranked),
        running=now.working[:_JOBS],
        masters=masters_of_page,
        failures=now.newest_failures,
        namespaces=None,
    )


def masters_of_page() -> Sequence[MasterRecord]:
    """Return the masters that have a record; none while Redis is away."""
    kept = site().facts.masters
    return kept.last_or(()) if snapshot().problem else kept.get_or(())


def show_namespaces() -> Response:
    """Show the other namespaces of the database that have queues."""
    link = site().client.registry.link
    found = other_namespaces(link, site().keys)
    return page("other_namespaces.html", namespaces=found)
