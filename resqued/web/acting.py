"""What a form orders, and the message that the next page shows at its top."""

from __future__ import annotations

from typing import Literal

from flask import abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.own_path import is_own_path
from resqued.web.sessions import leave_message
from resqued.web.site import site

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


def done(message: str, to: str, kind: Kind = "good") -> BaseResponse:
    """Go to a page of ours that shows the message.

    The form may name the page in `back`, with its filter.
    """
    leave_message(message, kind)
    site().keeper.forget()
    back = request.form.get("back", "")
    return redirect(back if is_own_path(back) else to, 303)
