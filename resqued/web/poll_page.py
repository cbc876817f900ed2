"""The paths that the script of Resque's own pages polls, such as /workers.poll.

They answer with a page without its frame.
"""

from __future__ import annotations

from typing import Any

from flask import abort, current_app, g

_ENDPOINTS = {
    "overview": "overview.show",
    "queues": "queues.show_all",
    "working": "working.show_all",
    "workers": "workers.show_all",
    "resque": "stats.resque",
    "redis": "stats.server",
    "keys": "keys.show_all",
}


def show(name: str) -> Any:
    """Answer with the content of a page."""
    view = current_app.view_functions.get(_ENDPOINTS[name])
    if view is None:
        abort(404, f"there is no page /{name}")
    g.is_fragment = True
    return view()


def show_keys() -> Any:
    """Answer with the content of the page of keys."""
    return show("keys")
