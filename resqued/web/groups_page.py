"""The groups of failures with the same cause."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request, url_for

from resqued.web.failure_groups import GroupCount
from resqued.web.failure_index import failure_index
from resqued.web.paging import page_of, pages_of
from resqued.web.render import page

_PER_PAGE = 50
# How failures can be grouped, with the words of the page.
WAYS: Mapping[str, str] = {
    "group": "by cause",
    "exception": "by exception",
    "class": "by class",
}


def show() -> Response:
    """Show the groups, the largest first."""
    by = request.args.get("by", "group")
    by = by if by in WAYS else "group"
    index = failure_index()
    coverage = index.look()
    found = index.groups(by)
    if request.args.get("sort") == "last":
        found.sort(key=lambda each: -each.last)
    return page(
        "failure_groups.html",
        groups=[(each, filter_in_url(each, by)) for each in page_of(found, _PER_PAGE)],
        pages=pages_of(len(found), _PER_PAGE),
        coverage=coverage,
        by=by,
        ways=[(WAYS[way], way, url_for("groups.show", by=way)) for way in WAYS],
    )


def filter_in_url(each: GroupCount, by: str) -> dict[str, str]:
    """Return the conditions that the failures of a group meet, as a URL has them."""
    group = each.group
    if by == "class":
        return {"class": group.class_name}
    if by == "exception":
        return {"exception": group.exception}
    return {"group": group.key}
