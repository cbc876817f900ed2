"""Pages of a list by position, for lists that are read whole or hardly move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from flask import request, url_for
from msgspec import Struct

T = TypeVar("T")
# The largest cursor of SCAN, and the largest part of the id of an element of a stream.
LAST_CURSOR = (1 << 64) - 1


class Pages(Struct, frozen=True):
    """The place of one page: `start` is the position of its first element."""

    start: int
    per_page: int
    total: int

    @property
    def end(self) -> int:
        """The position after the last element of the page."""
        return min(self.total, self.start + self.per_page)

    @property
    def previous(self) -> str:
        """The URL of the page before this one; "" if this is the first."""
        return _url(max(0, self.start - self.per_page)) if self.start else ""

    @property
    def next(self) -> str:
        """The URL of the page after this one; "" if this is the last."""
        return _url(self.end) if self.end < self.total else ""

    @property
    def last(self) -> str:
        """The URL of the last page."""
        return _url(max(0, (self.total - 1) // self.per_page * self.per_page))

    @property
    def first(self) -> str:
        """The URL of the first page."""
        return _url(0)


def number_in(text: str, digits: int = 9) -> int | None:
    """Return the number in a text of a URL or a form, of so many digits at most.

    None if it is no number, or a longer one.
    """
    is_number = text.isascii() and text.isdecimal() and len(text) <= digits
    return int(text) if is_number else None


def pages_of(total: int, per_page: int) -> Pages:
    """Return the page of a list of `total` elements that the request asks for."""
    start = number_in(request.args.get("start", "")) or 0
    return Pages(min(start, max(0, total - 1)), per_page, total)


def page_of(found: Sequence[T], per_page: int) -> Sequence[T]:
    """Return the elements of the page that the request asks for."""
    pages = pages_of(len(found), per_page)
    return found[pages.start : pages.end]


def _url(start: int) -> str:
    assert request.endpoint is not None
    values: dict[str, Any] = dict(request.view_args or {})
    values |= {n: v for n, v in request.args.items() if n not in ("start", "part")}
    if start:
        values["start"] = start
    return url_for(request.endpoint, **values)
