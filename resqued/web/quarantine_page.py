"""Jobs that were set aside, because they killed their processes: release, remove."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from flask import Response, abort, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import pluralize
from resqued.store.quarantine import QuarantinedJob
from resqued.web import acting
from resqued.web.paging import pages_of
from resqued.web.render import page
from resqued.web.site import site

_PER_PAGE, _MOST_NAMED = 50, 200
# How many of the newest are looked at for an id.
_MOST_SEARCHED = 20_000


def show_all() -> Response:
    """Show the jobs, the newest first."""
    jobs = site().client.quarantine
    pages = pages_of(jobs.count(), _PER_PAGE)
    return page("quarantine.html", jobs=jobs.page(pages.start, _PER_PAGE), pages=pages)


def show(job_id: str) -> Response:
    """Show one job with all of its deaths."""
    found = _find([job_id])
    if not found:
        abort(404, f"job {job_id[:40]} is not in quarantine: released, or removed")
    (job,) = found
    return page("quarantined.html", job=job)


def release() -> BaseResponse:
    """Put jobs back on their queues, those first that were set aside first."""
    return _act("release", "released", site().client.quarantine.release)


def remove() -> BaseResponse:
    """Remove jobs; they are gone then."""
    return _act("remove", "removed", site().client.quarantine.remove)


def _act(
    verb: str, done: str, action: Callable[[QuarantinedJob], bool]
) -> BaseResponse:
    ids = request.form.getlist("id")[:_MOST_NAMED]
    target = f"quarantined jobs {', '.join(ids)}"
    jobs = reversed(_find(ids))
    count, problems = acting.on_each(jobs, action, action=verb, target=target)
    site().keeper.forget()
    site().facts.presence.forget()
    message = f"{done} {pluralize(count, 'quarantined job')}"
    if gone := len(ids) - count - len(problems):
        message += f"; {pluralize(gone, 'job')} had gone"
    message = "; ".join([message, *problems[:3]])
    kind: acting.Kind = "good" if count and count == len(ids) else "warn"
    return acting.done(message, url_for("quarantine.show_all"), kind)


def _find(ids: list[str]) -> list[QuarantinedJob]:
    """Return the jobs of ids, the newest first."""
    wanted, found = set(ids), []
    for job in islice(site().client.quarantine, _MOST_SEARCHED):
        if not wanted:
            break
        if job.id in wanted:
            wanted.discard(job.id)
            found.append(job)
    return found
