"""What users of the web front end have done."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request, url_for

from resqued.web import audit
from resqued.web.audit import AuditRecord
from resqued.web.render import page

_PER_PAGE = 100
_PLACE = re.compile(r"\d{1,15}-\d{1,10}", re.ASCII)
_FILTERS = ("user", "action", "target")


def show_all() -> Response:
    """Show the actions, the newest first."""
    before = request.args.get("before", "")
    before = before if _PLACE.fullmatch(before) else ""
    wanted = {name: request.args.get(name, "")[:200] for name in _FILTERS}
    shown: list[AuditRecord] = []
    has_more = False
    for record in audit.newest_first(before):
        if not _matches(record, wanted):
            continue
        if len(shown) == _PER_PAGE:
            has_more = True
            break
        shown.append(record)
    kept: dict[str, Any] = {name: text for name, text in wanted.items() if text}
    return page(
        "audit.html",
        records=shown,
        wanted=wanted,
        is_filtered=bool(kept),
        is_first=not before,
        first_url=url_for("audit.show_all", **kept),
        older_url=url_for("audit.show_all", before=shown[-1].place, **kept)
        if has_more
        else "",
    )


def _matches(record: AuditRecord, wanted: dict[str, str]) -> bool:
    targets = (record.target, *record.ids)
    return (
        wanted["user"] in ("", record.user)
        and audit.in_words(wanted["action"]) in ("", record.action)
        and any(wanted["target"] in each for each in targets)
    )
