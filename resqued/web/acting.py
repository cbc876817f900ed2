"""What a person sees after an action: a line at the top of the page they came from."""

from __future__ import annotations

from typing import Literal

from flask import flash, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.site import site

Kind = Literal["good", "warn", "bad"]


def done(message: str, to: str, kind: Kind = "good") -> BaseResponse:
    """Go to a page of ours that shows the message.

    The form may name the page in `back`, with its filter.
    """
    flash(message, kind)
    site().keeper.forget()
    back = request.form.get("back", "")
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\"))
    return redirect(back if is_ours and back.isprintable() else to, 303)
