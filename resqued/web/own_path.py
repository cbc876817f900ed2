"""Which paths lead to a page of ours, and never to another host."""

from __future__ import annotations

from urllib.parse import quote

from flask import request

# What a path has as it is (RFC 3986); a name may have any of the other characters.
_PLAIN = "/:@!$&'()*+,;=~"


def is_own_path(path: str) -> bool:
    """Return True for a path on this host, and no address of another one."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return is_ours and path.isprintable()


def requested_path() -> str:
    """Return path and query of the request, below the path of the pages.

    They are as a URL has them: of the queue `a?b`, `?b` is no query.
    """
    path = quote(request.path, safe=_PLAIN)
    query = request.query_string.decode("latin-1")
    return f"{path}?{query}" if query else path
