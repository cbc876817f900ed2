"""Retries and removes all failures of a filter: a page that asks, then a task."""

from __future__ import annotations

from dataclasses import replace

from flask import Response, abort, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.task_state import KINDS
from resqued.errors import ResquedError, StoreError
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter
from resqued.web import acting, tasks
from resqued.web.failure_choice import (
    EXPECTED,
    NAMES,
    RATE,
    UP_TO,
    USUAL_RATE,
    asked_for,
    bounds_text,
    filter_of,
    in_words,
    sees_args,
)
from resqued.web.failure_index import Coverage, failure_index, to_retry
from resqued.web.failure_matches import Matches
from resqued.web.paging import number_in
from resqued.web.render import page
from resqued.web.site import site

# For removing more than so many, the number has to be typed.
TYPED_ABOVE = 1_000
_SAMPLES, _NAMES_SHOWN = 5, 10


def ask_retry() -> Response:
    """Ask if all that match are to be retried."""
    return _ask("retry")


def ask_retry_remove() -> Response:
    """Ask if all that match are to be retried and removed."""
    return _ask("retry_remove")


def ask_remove() -> Response:
    """Ask if all that match are to be removed."""
    return _ask("remove")


def retry() -> BaseResponse:
    """Start a task that retries all that match."""
    return _start("retry")


def retry_remove() -> BaseResponse:
    """Start a task that retries all that match, and removes them."""
    return _start("retry_remove")


def remove() -> BaseResponse:
    """Start a task that removes all that match; of many, if the number was typed."""
    most, typed = request.form.get("most", ""), request.form.get("typed", "")
    number = number_in(most)
    is_many = number is None or number > TYPED_ABOVE
    if is_many and "".join(filter(str.isalnum, typed)) != (most or None):
        return _ask("remove", f"Type the number {most[:10]} to remove so many.", 422)
    return _start("remove")


def _start(kind: str) -> BaseResponse:
    choice = asked_for()
    for name in (UP_TO, RATE, EXPECTED):
        if value := request.form.get(name, "").strip():
            choice[name] = value
    try:
        task_id = tasks.start(kind, choice)
    except StoreError:
        raise
    except ResquedError as error:
        abort(400, str(error))
    to = url_for("tasks.show", task_id=task_id)
    return acting.done(f"{KINDS[kind].title}: the task has started.", to)


def _ask(kind: str, problem: str = "", status: int = 200) -> Response:
    choice = asked_for()
    try:
        which = filter_of(choice, site(), sees_args=sees_args())
    except StoreError:
        raise
    except ResquedError as error:
        abort(400, str(error))
    # The end is seen before the counts: what fails in between is not touched.
    up_to = site().client.failures.seen(which)
    if chosen := choice.get("list"):
        up_to = {name: bound for name, bound in up_to.items() if name == chosen}
    coverage, meant, found = _counts(kind, which, choice.get("list"))
    is_exact = coverage.is_exact and found.is_complete
    most = found.count if is_exact else sum(bound.count for bound in up_to.values())
    return page(
        "bulk.html",
        status=status,
        kind=kind,
        about=KINDS[kind],
        words=in_words(choice),
        choice=[(name, choice[name]) for name in NAMES if name in choice],
        up_to=bounds_text(up_to),
        coverage=coverage,
        found=found,
        samples=_samples(failure_index().read(found.places(50)), meant),
        classes=found.classes.most_common(_NAMES_SHOWN),
        queues=found.queues.most_common(_NAMES_SHOWN),
        is_exact=is_exact and which.text is None,
        most=most,
        must_type=kind == "remove" and most > TYPED_ABOVE,
        usual_rate=USUAL_RATE,
        problem=problem,
    )


def _counts(
    kind: str, which: FailureFilter, list_name: str | None
) -> tuple[Coverage, FailureFilter, Matches]:
    """Return the counts of what is meant, without looking at a text."""
    meant = which if kind == "remove" else to_retry(which)
    index = failure_index()
    return index.look(), meant, index.matches(replace(meant, text=None), list_name)


def _samples(failures: list[Failure], meant: FailureFilter) -> list[Failure]:
    return [failure for failure in failures if meant.has(failure)][:_SAMPLES]
