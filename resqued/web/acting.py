"""What a person sees after an action: a line at the top of the page they came from."""

from __future__ import annotations

from typing import Literal

from flask import redirect, request
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.own_path import is_own_path
from resqued.web.sessions import leave_message
from resqued.web.site import site

Kind = Literal["good", "warn", "bad"]


def done(message: str, to: str, kind: Kind = "good") -> BaseResponse:
    """Go to a page of ours that shows the message.

    The form may name the page in `back`, with its filter.
    """
    leave_message(message, kind)
    site().keeper.forget()
    back = request.form.get("back", "")
    return redirect(back if is_own_path(back) else to, 303)
