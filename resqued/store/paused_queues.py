"""The set of paused queues, as masters and workers read it."""

from __future__ import annotations

from typing import Any

from resqued.store.connection import Link
from resqued.store.store_errors import ForbiddenError
from resqued.wire.keys import Keys


def read_paused(link: Link, keys: Keys) -> frozenset[str]:
    """Return the names of the paused queues, in one round trip; raise StoreError.

    A key of another type, and a set that access rules hide, pause nothing: a server
    that was set up for an older version continues.
    """
    found = read_if_allowed(link, "SMEMBERS", keys.paused_queues)
    return frozenset(name.decode("utf-8", "surrogateescape") for name in found or ())


def read_if_allowed(link: Link, command: str, key: str) -> Any:
    """Return the reply to a command that reads a key; raise StoreError.

    None if the key has another type, or access rules do not let this user read it.
    """
    try:
        return link.read_each([(command, key)])[0]
    except ForbiddenError:
        return None
