"""Acts on a whole list of failures: clear it, clear the retried ones, retry all.

Each first shows a page with figures, and is then done to what that page has counted:
the newest failure of the page goes along, and what came later stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.list_places import Place
from resqued.core.plural import pluralize
from resqued.errors import ResquedError, StoreError
from resqued.store.failure_entry import Failure
from resqued.store.failure_list import FailureList
from resqued.web import acting, audit
from resqued.web.failed_acts_page import act_on
from resqued.web.failure_search import (
    chosen_list,
    list_word,
    near,
    place_in,
)
from resqued.web.render import page
from resqued.web.site import site

# How many failures are acted on while the browser waits.
_AT_ONCE = 200
# From how many on the number has to be typed.
_MANY = 1_000
_SAMPLES = 5
# The digits of a digest that marks the end of what was seen.
_DIGITS = 16

TITLES = {
    "clear": "Remove all failures",
    "clear_retried": "Remove the failures that were retried",
    "retry_all": "Retry all failures",
}


def ask_clear() -> Response:
    """Ask if all failures of a list are to be removed."""
    return _ask("clear")


def ask_clear_retried() -> Response:
    """Ask if the failures that were retried are to be removed."""
    return _ask("clear_retried")


def ask_retry_all() -> Response:
    """Ask if all failures of a list are to be retried."""
    return _ask("retry_all")


def _ask(what: str, problem: str = "") -> Response:
    chosen = chosen_list()
    newest, oldest = chosen.newest(_SAMPLES), chosen.oldest(1)
    return page(
        "clearing.html",
        status=409 if problem else 200,
        what=what,
        title=TITLES[what],
        problem=problem,
        list_name=chosen.name,
        total=newest.span.total,
        samples=newest.failures,
        oldest=oldest.failures[0] if oldest.failures else None,
        seen=_token(newest.failures[0]) if newest.failures else "",
        must_type=what == "clear" and newest.span.total > _MANY,
        list_word=list_word,
    )


def _token(failure: Failure) -> str:
    return str(Place(failure.position, failure.digest[:24]))


def clear() -> BaseResponse:
    """Remove what the page has counted."""
    chosen = chosen_list()
    newest = _seen(chosen)
    if isinstance(newest, str):
        return _ask("clear", newest)
    counted = place_in(request.form["seen"])
    assert counted
    typed = request.form.get("number", "").replace(",", "").strip()
    if counted.position >= _MANY and typed != str(counted.position + 1):
        return _ask("clear", f"type the number of failures to remove, not {typed!r}")
    try:
        removed = chosen.clear_seen(newest)
    except StoreError:
        raise
    except ResquedError as error:
        return _ask("clear", str(error))
    audit.record("clear", chosen.name, count=removed)
    site().keeper.forget()
    return _done(f"removed {pluralize(removed, 'failure')}", chosen)


def clear_retried() -> BaseResponse:
    """Remove those that were retried, of what the page has counted."""
    failures = site().client.failures
    return _sweep("clear_retried", "removed", failures.remove, is_retried=True)


def retry_all() -> BaseResponse:
    """Retry those that were not retried before, of what the page has counted."""
    failures = site().client.failures
    return _sweep("retry_all", "retried", failures.retry, is_retried=False)


def _sweep(
    what: str, done: str, action: Callable[[Failure], bool], *, is_retried: bool
) -> BaseResponse:
    chosen = chosen_list()
    newest = _seen(chosen)
    if isinstance(newest, str):
        return _ask(what, newest)
    if newest.position >= _AT_ONCE:
        return _start(chosen, is_retried=is_retried)
    found = chosen.between(0, newest.position + 1)
    places = [
        Place(each.position, each.digest)
        for each in reversed(found)
        if each.is_retried == is_retried
    ]
    tally = act_on(chosen, places, action)
    result = tally.broken_by or "done"
    name = what.replace("_", " ")
    audit.record(
        name, chosen.name, count=len(tally.done), result=result, ids=tally.done
    )
    site().keeper.forget()
    message = f"{done} {pluralize(len(tally.done), 'failure')}"
    if tally.problems:
        count = len(tally.problems)
        message += f"; left out: {count}, such as {tally.problems[0]}"
    if tally.broken_by:
        message += f"; {tally.broken_by}"
    return _done(message, chosen, "bad" if tally.broken_by else "good")


def _start(chosen: FailureList, *, is_retried: bool) -> BaseResponse:
    """Ask once more on the page of a task: a request is not the place for so many."""
    endpoint = "bulk.ask_remove" if is_retried else "bulk.ask_retry"
    retried = "yes" if is_retried else "no"
    to = url_for(endpoint, list=chosen.name, retried=retried)
    return acting.done("These are many: a task does it. Confirm it here.", to, "warn")


def _seen(chosen: FailureList) -> Failure | str:
    """Return the newest failure that the form has counted, or why there is none."""
    place = place_in(request.form.get("seen", ""))
    if place is None:
        return "look at the figures first: nothing was done so far"
    found = near(chosen, place)
    if found.failure is None:
        return "the list has changed since you looked: nothing was done so far"
    return found.failure


def _done(
    message: str, chosen: FailureList, kind: acting.Kind = "good"
) -> BaseResponse:
    to = url_for("failed.show_all", list=list_word(chosen.name))
    return acting.done(message, to, kind)
