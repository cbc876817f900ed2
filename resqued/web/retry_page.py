"""Failed jobs that wait for another attempt: run now, or cancel."""

from __future__ import annotations

from functools import partial

from flask import Response, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import pluralize
from resqued.store.delayed_pages import DelayedPages, PlacedJob
from resqued.store.waiting_retries import WaitingRetries, WaitingRetry
from resqued.web import acting
from resqued.web.delayed_page import place
from resqued.web.render import page
from resqued.web.site import site

_PER_PAGE = 50
# Delayed jobs that are looked at in one step, and steps for one page.
_STEP, _STEPS = 200, 10


def _pages() -> DelayedPages:
    return DelayedPages(site().client.registry.link, site().keys)


def _waiting() -> WaitingRetries:
    client = site().client
    return WaitingRetries(client.registry.link, site().keys, client.delayed)


def show_all() -> Response:
    """Show the jobs that wait for another attempt, those first that are due first."""
    start, skip = place()
    found: list[tuple[PlacedJob, WaitingRetry]] = []
    is_first, looked_at = not start, 0
    for _ in range(_STEPS):
        part = _pages().page(start, skip, _STEP)
        looked_at += len(part.jobs)
        # By id: the arguments of a job may have no hash.
        jobs = [one.job for one in part.jobs]
        retries = {each.job.id: each for each in _waiting().among(jobs)}
        found += [
            (one, retries[one.job.id]) for one in part.jobs if one.job.id in retries
        ]
        start, skip = part.next_time, part.next_skip
        if not start or len(found) >= _PER_PAGE:
            break
    values = {"from": start, "skip": skip or None}
    return page(
        "retry.html",
        found=found,
        looked_at=looked_at,
        is_first=is_first,
        after=url_for("retry.show_all", **values) if start else "",  # type: ignore[arg-type]
    )


def act() -> BaseResponse:
    """Run or cancel the ticked retries, or the one whose button was pressed."""
    action, tokens = acting.run_or_cancel()
    done, problems = acting.on_each(
        tokens,
        partial(_act_on, is_run=action == "run"),
        action=action,
        target=f"retries {', '.join(tokens)}",
    )
    site().keeper.forget()
    verb = "enqueued" if action == "run" else "cancelled"
    message = f"{verb} {pluralize(done, 'job')} that waited for another attempt"
    if gone := len(tokens) - done - len(problems):
        message += f"; {pluralize(gone, 'job')} had gone"
    message = "; ".join([message, *problems[:3]])
    kind: acting.Kind = "good" if done and done == len(tokens) else "warn"
    return acting.done(message, url_for("retry.show_all"), kind)


def _act_on(token: str, *, is_run: bool) -> bool:
    job = _pages().find(token)
    if job is None or _waiting().of(job) is None:
        return False
    return site().client.delayed.run_now(job) if is_run else _waiting().cancel(job)
