"""What a form orders, and the message that the next page shows at its top."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from flask import abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from resqued.errors import PayloadError, StoreError
from resqued.web import audit
from resqued.web.own_path import is_own_path
from resqued.web.sessions import leave_message
from resqued.web.site import site

T = TypeVar("T")
Kind = Literal["good", "warn", "bad"]

# How many elements a form may name.
_MOST_NAMED = 200


def run_or_cancel() -> tuple[str, list[str]]:
    """Return what a form of waiting jobs orders, and the tokens of the jobs.

    They are the ticked jobs, or the one whose button was pressed.
    """
    action, _, token = request.form.get("one", "").partition(" ")
    action = action or request.form.get("action", "")
    if action not in ("run", "cancel"):
        abort(400, f"{action[:40]!r} is no action: run or cancel")
    return action, [token] if token else request.form.getlist("id")[:_MOST_NAMED]


def on_each(
    items: Iterable[T], act: Callable[[T], bool], *, action: str, target: str
) -> tuple[int, list[str]]:
    """Act on each of some elements; return on how many, and why others were left out.

    It is recorded for the audit, also if Redis fails in between; then StoreError is
    raised.
    """
    count, problems = 0, list[str]()
    try:
        for each in items:
            try:
                count += act(each)
            except PayloadError as error:
                problems.append(str(error))
    except StoreError as error:
        audit.record(action, target, count=count, result=f"broken off: {error}")
        raise
    audit.record(action, target, count=count)
    return count, problems


def done(message: str, to: str, kind: Kind = "good") -> BaseResponse:
    """Go to a page of ours that shows the message.

    The form may name the page in `back`, with its filter.
    """
    leave_message(message, kind)
    site().keeper.forget()
    back = request.form.get("back", "")
    return redirect(back if is_own_path(back) else to, 303)
