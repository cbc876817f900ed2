"""The search box: goes to a failure, a queue, a worker, a host, or why of a class."""

from __future__ import annotations

import re

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.formats import has_page, queue_url, worker_url
from resqued.web.render import snapshot

_FAILURE_ID = re.compile(r"[0-9a-f]{12}([0-9a-f]{12})?")


def find() -> BaseResponse:
    """Go to what the text names; a part of names of queues lists those."""
    wanted = request.args.get("q", "").strip()[:500]
    now = snapshot()
    if not wanted or wanted in now.queues:
        known = queue_url(wanted) if wanted in now.queues else None
        return redirect(known or url_for("queues.show_all"))
    hosts = {worker_id.partition(":")[0] for worker_id in now.worker_ids}
    if wanted in now.worker_ids or wanted in hosts:
        return redirect(worker_url(wanted))
    if _FAILURE_ID.fullmatch(wanted) and has_page("failed.show_named"):
        return redirect(url_for("failed.show_named", name=wanted[:12]))
    if any(wanted in name for name in now.queues):
        return redirect(url_for("queues.show_all", q=wanted))
    return redirect(queue_url(wanted, "why.show"))
