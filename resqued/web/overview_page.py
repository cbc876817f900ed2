"""The first page: figures, what needs attention, running jobs, failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.diagnostics.worker_status import WorkerStatus
from resqued.store.failure_entry import Failure
from resqued.store.namespaces import other_namespaces
from resqued.web.render import page, snapshot
from resqued.web.shown_hours import QueueHours, total_hour
from resqued.web.site import site
from resqued.web.snapshot import SiteSnapshot, unless_refused
from resqued.wire.master_record import MasterRecord

T = TypeVar("T")
_QUEUES, _JOBS = 20, 10
_FIGURES: tuple[tuple[str, Callable[[SiteSnapshot], int]], ...] = (
    ("pending", lambda now: now.pending),
    ("working", lambda now: now.working_count),
    ("workers", lambda now: len(now.worker_ids)),
    ("processed", lambda now: now.totals[0]),
    ("failures", lambda now: now.failures),
)


def index() -> BaseResponse:
    """Go to the overview."""
    return redirect(url_for("overview.show"))


def show() -> Response:
    """Show the overview: queues that need attention first, then the longest.

    What Redis refuses to this user is left out, and named.
    """
    now = snapshot()
    refused = set(now.refusals)

    def readable(read: Callable[[], T], default: T) -> T:
        return unless_refused(read, default, lambda error: refused.add(str(error)))

    services = readable(lambda: now.services, None)
    ranked = services.by_attention() if services else []
    queue_count = readable(lambda: len(now.queues), 0)
    figures = {name: readable(partial(read, now), None) for name, read in _FIGURES}
    shown = ranked[:_QUEUES]
    return page(
        "overview.html",
        total_hour=total_hour,
        figures=figures,
        queues=shown,
        hours=QueueHours(queue.name for queue in shown),
        masters=masters_of_page,
        more_full=max(0, len(ranked) - _QUEUES),
        empty_count=queue_count - len(ranked),
        running=readable(lambda: [*now.working[:_JOBS]], list[WorkerStatus]()),
        failures=readable(lambda: [*now.newest_failures], list[Failure]()),
        refused=sorted(refused),
        namespaces=None,
    )


def masters_of_page() -> Sequence[MasterRecord]:
    """Return the masters that have a record; none while Redis is away."""
    return site().facts.masters.value_or(())


def show_namespaces() -> Response:
    """Show the other namespaces of the database that have queues."""
    link = site().client.registry.link
    found = other_namespaces(link, site().keys)
    return page("other_namespaces.html", namespaces=found)
