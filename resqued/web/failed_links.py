"""What templates need for links to failures: URLs, and the filter of a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import request

from resqued.web.failure_choice import NAMES, choice_of
from resqued.web.failure_search import failure_url

_LIST = "/failed"


def failed_url(choice: Mapping[str, str]) -> str:
    """Return the URL of the list of failures with a filter."""
    query = urlencode(choice, errors="backslashreplace")
    return request.script_root + _LIST + (f"?{query}" if query else "")


FUNCTIONS: Mapping[str, Any] = {
    "failed_url": failed_url,
    "failure_url": failure_url,
    "failure_filter": choice_of,
    "failure_filter_names": tuple(NAMES),
}
