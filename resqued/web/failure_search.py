"""Finds the failure that a link or a form means, in a list that moves.

First where it stood, then a little below, then by a bounded walk. A failure that was
retried since has other bytes, and is recognized by those that it had.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from flask import g, request, url_for
from msgspec import Struct

from resqued.core.durations import show_seconds
from resqued.core.list_places import Place, read_place, window_of
from resqued.core.plural import pluralize
from resqued.core.visible_text import bytes_of
from resqued.store.failure_entry import Failure
from resqued.store.failure_list import LOOK, FailureList
from resqued.web import audit
from resqued.web.paging import number_in
from resqued.web.render import snapshot
from resqued.web.site import site
from resqued.wire.keys import FAILED

_MARK = re.compile(rb',\s*"retried_at"\s*:\s*"[^"]*"')
_LONGEST_NAME = 200
_DONE = {
    "retry": "retried",
    "retry and remove": "retried and removed",
    "remove": "removed",
}


class FoundFailure(Struct, frozen=True):
    """The result of a search.

    `failure` is None if there is none. `is_retried_since` is True if it was retried
    after the link was made. `is_partial` is True if older entries were not looked at.
    """

    failure: Failure | None
    is_retried_since: bool = False
    is_partial: bool = False


def chosen_list() -> FailureList:
    """Return the list of failures that the request names, or the usual one."""
    wanted = request.values.get("list", "")
    named = [name for name in lists() if list_word(name) == wanted]
    return site().client.failures.in_list(named[0] if named else usual_list())


def list_word(name: str) -> str:
    """Return what a URL or a form has for a list: its name, or a digest of an odd one.

    Bytes that are no text, and names of any length, do not survive in a form.
    """
    if name.isprintable() and len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(bytes_of(name)).hexdigest()
    return f"list {digest[:16]}"


def lists() -> dict[str, int]:
    """Return how many failures each list had when the request first asked."""
    if "failure_lists" not in g:
        g.failure_lists = site().client.failures.counts()
    found: dict[str, int] = g.failure_lists
    return found


def usual_list() -> str:
    """Return `failed`, or if it is empty the first list that is not."""
    counts = lists()
    full = [name for name in (FAILED, *counts) if counts.get(name)]
    return full[0] if full else FAILED


def failure_url(failure: Failure, endpoint: str = "failed.show_named") -> str:
    """Return the URL of the page of a failure, with the place where it stands."""
    return url_for(endpoint, name=failure.id, **_where(failure))


def enqueue_url(failure: Failure) -> str:
    """Return the URL of the form that enqueues a job like the one of a failure."""
    return url_for("enqueue.show", failure=failure.id, **_where(failure))


def _where(failure: Failure) -> dict[str, Any]:
    is_usual = failure.list_name == FAILED
    return {
        "at": failure.position if failure.position >= 0 else None,
        "list": None if is_usual else list_word(failure.list_name),
    }


def form_id(failure: Failure) -> str:
    """Return what a form sends for a failure: its digest and position."""
    return f"{failure.digest[:24]}@{failure.position}"


def place_in(values: str) -> Place | None:
    """Return the place that a field of a form or a URL names, None if none."""
    return read_place(values[:100])


def near(found_in: FailureList, place: Place) -> FoundFailure:
    """Return the failure of a place, where it stood or a little below."""
    failure = found_in.locate(place)
    if failure:
        return FoundFailure(failure)
    start, end = window_of(place, found_in.length())
    for each in reversed(found_in.between(start, end)):
        if each.is_retried and digest_before(each).startswith(place.digest):
            return FoundFailure(each, is_retried_since=True)
    return FoundFailure(None)


def by_id(failure_id: str) -> FoundFailure:
    """Return the failure of an id, among the newest ones of each list."""
    counts = lists()
    is_partial = False
    for name, length in counts.items():
        is_partial |= length > LOOK
        for failure in _newest(name, length):
            if failure.id == failure_id:
                return FoundFailure(failure)
            if failure.is_retried and digest_before(failure)[:12] == failure_id:
                return FoundFailure(failure, is_retried_since=True)
    return FoundFailure(None, is_partial=is_partial)


def of_url(failure_id: str) -> FoundFailure:
    """Return the failure of an id, first where the URL says that it stands."""
    if (at := place_of_url()) is not None:
        found = near(chosen_list(), Place(at, failure_id))
        if found.failure:
            return found
    return by_id(failure_id)


def place_of_url() -> int | None:
    """Return the position that the URL names, if it is one."""
    return number_in(request.args.get("at", ""), digits=12)


def _newest(name: str, length: int) -> Iterator[Failure]:
    found = site().client.failures.in_list(name).downwards(length)
    for _ in range(min(length, LOOK)):
        failure = next(found, None)
        if failure is None:
            return
        yield failure


def digest_before(failure: Failure) -> str:
    """Return the digest that a failure had before its first retry, if that is known."""
    before = _MARK.sub(b"", failure.entry)
    return hashlib.sha256(before).hexdigest()


def story(failure_id: str) -> str:
    """Return what became of a failure, such as: retried by anna 20 s ago."""
    found = audit.action_on(failure_id)
    if found is None:
        return f"removed, or retried elsewhere{_sweep()}"
    done = _DONE.get(found.action, found.action)
    return f"{done} by {found.shown_user} {_age(found)} ago"


def _age(found: audit.AuditRecord) -> str:
    return show_seconds(round(max(0.0, snapshot().taken_at - found.at)))


def _sweep() -> str:
    """Return who has changed many failures last, such as: perhaps by clear of anna."""
    found = audit.last_sweep()
    if found is None:
        return ""
    what, who = found.action.replace("_", " "), found.shown_user
    how_many = pluralize(found.count, "failure")
    return f", perhaps with the {how_many} of “{what}” by {who} {_age(found)} ago"
