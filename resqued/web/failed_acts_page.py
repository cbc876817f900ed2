"""Retries and removes failures: one, or those that are ticked on a page.

A form names each failure by its digest and position. What it names is looked up in the
list as it is now, so a second click, or a list that has moved, hits no other failure.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import abort, request, url_for
from msgspec import Struct, field
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.list_places import Place
from resqued.core.plural import pluralize
from resqued.errors import PayloadError, StoreError
from resqued.store.failure_entry import Failure
from resqued.store.failure_list import FailureList
from resqued.web import acting, audit
from resqued.web.failure_search import (
    chosen_list,
    list_word,
    near,
    place_in,
    story,
)
from resqued.web.site import site

MOST = 200
_LONGEST_NAME = 500

Action = Callable[[Failure], bool]


class Tally(Struct):
    """What came of an action on several failures.

    `done` are the ids of those that it was done to; `gone` are those that were not
    there any more, `problems` says why others were left out.
    """

    done: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    broken_by: str = ""


def retry() -> BaseResponse:
    """Enqueue the jobs again; the failures stay, marked as retried."""
    return _retry(removes=False)


def retry_and_remove() -> BaseResponse:
    """Enqueue the jobs again and remove the failures."""
    return _retry(removes=True)


def remove() -> BaseResponse:
    """Remove the failures; their jobs are gone then."""
    return _act("remove", "removed", site().client.failures.remove)


def _retry(*, removes: bool) -> BaseResponse:
    queue = request.form.get("queue", "").strip() or None
    if queue and (len(queue) > _LONGEST_NAME or not queue.isprintable()):
        abort(400, f"the name of a queue has {_LONGEST_NAME} printable characters")
    name, done = "retry", "retried"
    if removes:
        name, done = "retry and remove", "retried and removed"

    def action(failure: Failure) -> bool:
        return site().client.failures.retry(failure, queue=queue, removes=removes)

    return _act(name, done, action, queue or "")


def _act(name: str, done: str, action: Action, queue: str = "") -> BaseResponse:
    chosen = chosen_list()
    tally = act_on(chosen, _places(), action)
    where = f"{chosen.name} to {queue}" if queue else chosen.name
    result = "; ".join(filter(None, (_left_out(tally), tally.broken_by))) or "done"
    if tally.done or tally.broken_by:
        target = f"{where} {' '.join(tally.done[:20])}"
        count = len(tally.done)
        audit.record(name, target, count=count, result=result, ids=tally.done)
    site().keeper.forget()
    return acting.done(
        _message(done, tally, queue, is_busy=bool(tally.gone) and chosen.is_busy()),
        url_for("failed.show_all", list=list_word(chosen.name)),
        "bad" if tally.broken_by else "good" if tally.done else "warn",
    )


def _places() -> list[Place]:
    """Return the places of the form, the highest first, so that none shifts another."""
    texts = request.form.getlist("id")
    if len(texts) > MOST:
        abort(400, f"{len(texts)} failures at once: at most {MOST} can be ticked")
    places = [place_in(text) for text in texts]
    if None in places:
        abort(400, "the form names no failure: open the page and try again")
    return sorted({p for p in places if p}, key=lambda each: -each.position)


def act_on(chosen: FailureList, places: list[Place], action: Action) -> Tally:
    """Do something to each failure; stop when Redis does not answer any more."""
    tally = Tally()
    for place in places:
        failure_id = place.digest[:12]
        try:
            found = near(chosen, place)
            if found.failure is None or found.is_retried_since:
                tally.gone.append(failure_id)
            elif action(found.failure):
                tally.done.append(failure_id)
            else:
                tally.gone.append(failure_id)
        except PayloadError as error:
            tally.problems.append(f"{failure_id}: {error}")
        except StoreError as error:
            tally.broken_by = f"failure {failure_id} may have been changed: {error}"
            break
    return tally


def _message(done: str, tally: Tally, queue: str, *, is_busy: bool) -> str:
    if not (tally.done or tally.gone or tally.problems or tally.broken_by):
        return "no failure is ticked: nothing was done"
    parts = []
    if tally.done:
        to = f" to the queue {queue}" if queue else ""
        parts.append(f"{done} {pluralize(len(tally.done), 'failure')}{to}")
    if tally.gone and is_busy:
        parts.append(
            f"{pluralize(len(tally.gone), 'failure')} not found while a bulk operation"
            " works on the list: try again when it has ended"
        )
    elif tally.gone:
        first = tally.gone[0]
        if len(tally.gone) == 1:
            parts.append(f"failure {first} was already {story(first)}")
        else:
            count = len(tally.gone)
            parts.append(f"{count} were gone: {first} was already {story(first)}")
    parts += filter(None, (_left_out(tally), tally.broken_by))
    return "; ".join(parts)


def _left_out(tally: Tally) -> str:
    if not tally.problems:
        return ""
    return f"left out: {len(tally.problems)}, such as {tally.problems[0]}"
