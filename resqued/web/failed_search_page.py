"""Searching failures by a text: a task, whose hits are shown as they are found."""

from __future__ import annotations

from flask import Response, abort, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.errors import ResquedError, StoreError
from resqued.store.failure_entry import Failure
from resqued.store.seen_bound import digest_of
from resqued.store.task_records import MOST_HITS
from resqued.web import tasks
from resqued.web.failed_links import failed_url
from resqued.web.failure_choice import SEES_ARGS, asked_for, choice_of, sees_args
from resqued.web.failure_index import failure_index
from resqued.web.failure_matches import ListedPlace
from resqued.web.paging import pages_of
from resqued.web.render import page
from resqued.web.site import site

_PER_PAGE = 50


def start() -> BaseResponse:
    """Start a search; go to its page."""
    if site().settings.read_only:
        abort(403, "these pages are read-only: a search keeps what it finds in Redis")
    choice = asked_for()
    if "text" not in choice:
        return redirect(failed_url(choice), 303)
    try:
        task_id = tasks.start("search", choice)
    except StoreError:
        raise
    except ResquedError as error:
        abort(400, str(error))
    return redirect(url_for("failed_search.show", task_id=task_id), 303)


def show(task_id: str) -> Response:
    """Show what a search has found so far, the newest failures first."""
    task = tasks.find(task_id)
    if task.kind != "search":
        abort(404, f"the task {task_id[:40]!r} is no search")
    if task.choice.get(SEES_ARGS) == "1" and not sees_args():
        abort(403, "the search looked at arguments, which you may not see")
    pages = pages_of(task.done, _PER_PAGE)
    hits = tasks.tasks().records.hits(task_id, pages.start, _PER_PAGE)
    return page(
        "failed_search.html",
        task=task,
        hits=_found(hits),
        pages=pages,
        choice=choice_of(task.choice),
        is_full=task.done >= MOST_HITS,
        may_order=tasks.may_order_now(task),
    )


def _found(hits: list[str]) -> list[Failure | None]:
    """Return the failures of hits; None for one that is not at its place any more."""
    places, digests = [], []
    for hit in hits:
        position, digest, name = hit.split(" ", 2)
        places.append(ListedPlace(name, int(position)))
        digests.append(digest)
    failures = {
        (each.list_name, each.position): each for each in failure_index().read(places)
    }
    found = [failures.get((place.list_name, place.position)) for place in places]
    return [
        each if each and digest_of(each.entry) == digest else None
        for each, digest in zip(found, digests, strict=True)
    ]
