"""The frame that all pages share, alone: tabs with their counts, and banners."""

from __future__ import annotations

from collections.abc import Sequence

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.web.own_path import is_own_path
from resqued.web.render import page, snapshot
from resqued.web.site import site
from resqued.wire.master_record import MasterRecord


def masters_in_trouble() -> Sequence[MasterRecord]:
    """Return the masters that stop, or whose last reload failed, as banners say.

    They are looked at less often than the counts; not at all while Redis is away.
    """
    return () if snapshot().problem else site().facts.troubled.value_or(())


def show() -> BaseResponse:
    """Answer with the part `frame`; without a part, go to the page in `back`.

    A form in a banner names its page in `back`, and that page is this one if the banner
    has come with the part.
    """
    if "part" in request.args:
        return page("base.html")
    back = request.args.get("back", "")
    return redirect(back if is_own_path(back) else url_for("overview.show"), 303)
