"""Which paths lead to a page of ours, and never to another host."""

from __future__ import annotations


def is_own_path(path: str) -> bool:
    """Return True for a path on this host, and no address of another one."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return is_ours and path.isprintable()
