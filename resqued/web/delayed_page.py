"""Delayed jobs: those that are due first come first; enqueue now, cancel, clear."""

from __future__ import annotations

import re
import time
from functools import partial

from flask import Response, abort, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import pluralize
from resqued.errors import StoreError
from resqued.store.delayed_pages import DayCount, DelayedPage, DelayedPages
from resqued.web import acting, audit
from resqued.web.formats import queue_of_request
from resqued.web.paging import number_in, pages_of
from resqued.web.render import page
from resqued.web.site import site

_PER_PAGE, _DAYS = 50, 7
# How many jobs one form may name, and how long clearing may take, in seconds.
_LONGEST = 2.0
_TIME = re.compile(r"-?\d{1,15}(\.\d{1,10})?")


def _pages() -> DelayedPages:
    return DelayedPages(site().client.registry.link, site().keys)


def show_all() -> Response:
    """Show delayed jobs from a time on, and how many are due on the next days."""
    start, skip = place()
    part = request.args.get("part")
    found, times, days = DelayedPage(()), 0, list[DayCount]()
    if part != "days":
        found = _pages().page(start, skip, _PER_PAGE)
    if part != "jobs":
        times, days = _pages().count_times(), _pages().days(time.time(), _DAYS)
    return page(
        "delayed.html",
        found=found,
        after=_after(found, "delayed.show_all"),
        is_first=not start,
        times=times,
        days=days,
    )


def place() -> tuple[str, int]:
    """Return the time and the number of jobs to skip that the URL names."""
    start = request.args.get("from", "")
    skip = number_in(request.args.get("skip", "")) or 0
    return (start if _TIME.fullmatch(start) else ""), skip


def _after(found: DelayedPage, endpoint: str) -> str:
    """Return the URL of the next page; "" after the last."""
    if not found.next_time:
        return ""
    values = {"from": found.next_time, "skip": found.next_skip or None}
    return url_for(endpoint, **values)  # type: ignore[arg-type]


def show_time(name: str) -> Response:
    """Show the jobs that are due at one time; another program may call it anything."""
    when = queue_of_request(name)
    pages = pages_of(_pages().count_at(when), _PER_PAGE)
    if not pages.total:
        abort(404, f"no job is due at {when[:40]!r} any more")
    jobs = _pages().at(when, pages.start, _PER_PAGE)
    due_at = float(when) if _TIME.fullmatch(when) else None
    return page("delayed_time.html", when=when, due_at=due_at, jobs=jobs, pages=pages)


def act() -> BaseResponse:
    """Enqueue or cancel the ticked jobs, or the one whose button was pressed."""
    action, tokens = acting.run_or_cancel()
    verb = "enqueued" if action == "run" else "cancelled"
    done, problems = acting.on_each(
        tokens,
        partial(_act_on, action),
        action=action,
        target=", ".join(tokens) or "no delayed job",
    )
    site().keeper.forget()
    site().facts.presence.forget()
    message = f"{verb} {pluralize(done, 'delayed job')}"
    gone = len(tokens) - done - len(problems)
    if gone:
        message += f"; {pluralize(gone, 'job')} had gone: run, moved or cancelled"
    message = "; ".join([message, *problems[:3]])
    kind: acting.Kind = "good" if done and done == len(tokens) else "warn"
    return acting.done(message, url_for("delayed.show_all"), kind)


def _act_on(action: str, token: str) -> bool:
    job = _pages().find(token)
    if job is None:
        return False
    delayed = site().client.delayed
    return delayed.run_now(job) if action == "run" else delayed.cancel(job)


def ask_to_clear() -> Response:
    """Show what clearing would remove, and the button that does it."""
    days = _pages().days(time.time(), _DAYS)
    return page("delayed_clear.html", times=_pages().count_times(), days=days)


def clear() -> BaseResponse:
    """Cancel all delayed jobs, as many as a request has time for."""
    removed, last = 0, time.monotonic() + _LONGEST
    is_done = True
    try:
        for batch in site().client.delayed.clear_steps():
            removed += batch
            if time.monotonic() > last:
                is_done = not _pages().count_times()
                break
    except StoreError as error:
        result = f"broken off: {error}"
        audit.record("clear", "delayed jobs", count=removed, result=result)
        raise
    audit.record("clear", "delayed jobs", count=removed)
    site().facts.presence.forget()
    message = f"cancelled {pluralize(removed, 'delayed job')}"
    if is_done:
        return acting.done(message, url_for("delayed.show_all"))
    message += "; there are more: clear again"
    return acting.done(message, url_for("delayed.ask_to_clear"), "warn")
