"""The list of failures: its pages, the newest failure first."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, request, url_for

from resqued.core.list_places import Place, Span
from resqued.errors import ResquedError
from resqued.store.failure_filter import ID_DIGITS, FailureFilter
from resqued.store.failure_list import FailureList, FailurePage, place_of
from resqued.web import failure_page
from resqued.web.failure_choice import asked_for, filter_of, moment, sees_args
from resqued.web.failure_search import (
    chosen_list,
    form_id,
    list_word,
    lists,
    place_in,
)
from resqued.web.filtered_page import filtered
from resqued.web.paging import number_in
from resqued.web.render import page, snapshot
from resqued.web.site import site
from resqued.wire.keys import FAILED

PER_PAGE = 50
# What stays in the URL from page to page; the rest names the page.
_KEPT = (
    *("list", "class", "queue", "exception", "retried"),
    *("host", "group", "from", "to", "text"),
)


def show_all() -> Response:
    """Show a page of a list of failures."""
    if request.args.get("part") == "news":
        return page("failed.html", new=_new())
    return _show(chosen_list(), _filter())


def show_named(name: str) -> Response:
    """Show a failure by its id; or the failures of a queue, as Resque's pages do."""
    if len(name) == ID_DIGITS and set(name) <= set("0123456789abcdef"):
        return failure_page.show(name)
    which = _filter()
    known = lists()
    own = [each for each in (name, f"{name}_failed") if each in known]
    if own:
        return _show(site().client.failures.in_list(own[0]), which)
    if name not in snapshot().queues:
        abort(404, f"there is no failure, queue or list of failures {name[:100]!r}")
    return _show(chosen_list(), FailureFilter(which.class_name, name, which.exception))


def refuse_get(number: str) -> Response:
    """Say why this address of Resque does nothing here."""
    abort(
        405,
        description=f"nothing was done to failure {number[:20]!r}: a link must not"
        " retry or remove, and a number means another failure when the list has"
        " moved; use the buttons of the failure",
    )


def _filter() -> FailureFilter:
    """Return the filter that the URL has."""
    try:
        return filter_of(asked_for(), site(), sees_args=sees_args())
    except ResquedError as error:
        abort(400, str(error))


def _show(chosen: FailureList, which: FailureFilter) -> Response:
    found = _read(chosen, which)
    newest = found.first if found.span.is_newest else None
    return page(
        "failed.html",
        found=found,
        which=which,
        list_name=chosen.name,
        lists=_menu(chosen.name),
        links=_links(found, which),
        kept=[(name, request.args[name]) for name in _KEPT if request.args.get(name)],
        newest=newest,
        total=sum(lists().values()),
        new=0,
        is_busy=chosen.is_busy(),
        form_id=form_id,
        list_word=list_word,
    )


def _read(chosen: FailureList, which: FailureFilter) -> FailurePage:
    """Return the page that the request asks for."""
    before = place_in(request.args.get("before", ""))
    if not which.is_all:
        return _matching(chosen, which, before)
    if before:
        return chosen.before(before, PER_PAGE)
    if after := place_in(request.args.get("after", "")):
        return chosen.after(after, PER_PAGE)
    if (wanted := _moment()) is not None:
        return chosen.until(wanted, PER_PAGE)
    if request.args.get("page") == "oldest":
        return chosen.oldest(PER_PAGE)
    return chosen.newest(PER_PAGE)


def _matching(
    chosen: FailureList, which: FailureFilter, before: Place | None
) -> FailurePage:
    wanted = None if before else _moment()
    if wanted is None and (indexed := _indexed(chosen, which, before)):
        return indexed
    end = None if wanted is None else chosen.end_at(wanted)
    return chosen.matching(which, PER_PAGE, place=before, end=end)


def _indexed(
    chosen: FailureList, which: FailureFilter, before: Place | None
) -> FailurePage | None:
    """Return the page from the index; None while the index does not know all."""
    below = None if before is None else before.position
    found = filtered(which, chosen.name, below=below, count=PER_PAGE)
    if found is None:
        return None
    start = found.below or 0
    span = Span(start, start + len(found.failures), start + found.total)
    shown = found.failures
    return FailurePage(
        shown,
        span,
        place_of(shown[0]) if shown else None,
        place_of(shown[-1]) if shown else None,
        rank=found.rank,
        matches=found.total,
    )


def _moment() -> float | None:
    """Return the time to jump to, in seconds since the epoch; None if none is asked."""
    try:
        return moment(request.args.get("time"))
    except ResquedError as error:
        abort(400, str(error))


def _links(found: FailurePage, which: FailureFilter) -> dict[str, str]:
    """Return the URLs of other pages by their names; "" for one that is not there."""
    links = {"first": _url(), "older": "", "last": "", "newer": ""}
    if found.last and found.has_older:
        links["older"] = _url(before=str(found.last))
    if which.is_all:
        links["last"] = _url(page="oldest")
        if found.first and not found.span.is_newest:
            links["newer"] = _url(after=str(found.first))
    return links


def _url(**changed: str) -> str:
    kept = {name: request.args[name] for name in _KEPT if request.args.get(name)}
    values: dict[str, Any] = {**kept, **(request.view_args or {}), **changed}
    assert request.endpoint
    return url_for(request.endpoint, **values)


def _menu(current: str) -> list[tuple[str, int, str, bool]]:
    """Return name, length and URL of each list; none if there is only one."""
    counts = {name: n for name, n in lists().items() if n or name in (FAILED, current)}
    if len(counts) < 2:
        return []
    return [
        (name, n, url_for("failed.show_all", list=list_word(name)), name == current)
        for name, n in counts.items()
    ]


def _new() -> int:
    """Return how many failures were added since the page was shown; below 0: removed.

    Counted from the shared snapshot, so that open pages ask Redis nothing.
    """
    seen = number_in(request.args.get("seen", ""), digits=11)
    return 0 if seen is None else snapshot().failures - seen
