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
    return redirect(back if is_own_path(back) else to, 303)


def is_own_path(path: str) -> bool:
    """Return True for a path on this host, and no address of another one."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return is_ours and path.isprintable()
