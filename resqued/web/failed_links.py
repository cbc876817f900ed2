"""What templates need for links to failures: URLs, and the filter of a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import request

from resqued.store.failure_entry import Failure
from resqued.web.failure_choice import NAMES, choice_of
from resqued.wire.keys import FAILED

_LIST = "/failed"


def failed_url(choice: Mapping[str, str]) -> str:
    """Return the URL of the list of failures with a filter."""
    query = urlencode(choice, errors="backslashreplace")
    return request.script_root + _LIST + (f"?{query}" if query else "")


def failure_link(failure: Failure) -> str:
    """Return the URL of the page of a failure, with the place where it stands."""
    place: dict[str, Any] = {}
    if failure.position >= 0:
        place["at"] = failure.position
    if failure.list_name != FAILED:
        place["list"] = failure.list_name
    words = urlencode(place, errors="surrogateescape")
    query = f"?{words}" if words else ""
    return f"{request.script_root}{_LIST}/{failure.id}{query}"


FUNCTIONS: Mapping[str, Any] = {
    "failed_url": failed_url,
    "failure_link": failure_link,
    "failure_filter": choice_of,
    "failure_filter_names": tuple(NAMES),
}
