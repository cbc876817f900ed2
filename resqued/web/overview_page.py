"""The first page: figures, queues, running jobs, failures."""

from __future__ import annotations

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.formats import queue_url
from resqued.web.render import page, snapshot

_QUEUES, _JOBS = 20, 10


def index() -> BaseResponse:
    """Go to the overview."""
    return redirect(url_for("overview.show"))


def show() -> Response:
    """Show the overview."""
    now = snapshot()
    ranked = sorted(now.queues.items(), key=lambda item: (-item[1], item[0]))
    return page(
        "overview.html",
        queues=ranked[:_QUEUES],
        others=len(ranked) - _QUEUES,
        running=now.working[:_JOBS],
        failures=now.newest_failures,
    )


def find() -> BaseResponse:
    """Go to what the search means: a failure, a queue, or why a class does not run."""
    wanted = request.args.get("q", "").strip()[:500]
    if wanted in snapshot().queues:
        return redirect(queue_url(wanted))
    return redirect(url_for("queues.show_all", q=wanted))
