"""Who did what: a stream in Redis, and a line in the log."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import g, request

from resqued.errors import StoreError
from resqued.log import logger
from resqued.web.identity import current_user
from resqued.web.site import Site, site

# About how many actions are kept.
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Author:
    """Who asked for an action, at which site, from where, and in which request."""

    site: Site
    user: str
    role: str
    address: str = ""
    request_id: str = ""


def record(action: str, target: str, *, count: int = 1, result: str = "done") -> None:
    """Record an action of the present user.

    `action` is a verb, as in retry; `target` names what it acted on, `count` how many
    that were. That the stream cannot be written does not stop the action.
    """
    record_of(author(), action, target, count=count, result=result)


def author() -> Author:
    """Return the user of the present request."""
    user = current_user()
    return Author(
        site(),
        user.name if user else "",
        user.role if user else "",
        request.remote_addr or "",
        g.request_id,
    )


def record_of(by: Author, action: str, target: str, *, count: int, result: str) -> None:
    """Record an action of a user whose request may have ended."""
    fields: dict[str, Any] = {
        "user": by.user,
        "role": by.role,
        "address": by.address,
        "action": action,
        "target": target[:500],
        "count": count,
        "result": result[:500],
        "request_id": by.request_id,
    }
    logger.get().info("web_action", **fields)
    if by.site.settings.read_only:
        return
    text = json.dumps(fields)
    with suppress(StoreError):
        by.site.client.registry.link.call(
            "XADD", by.site.keys.audit, "MAXLEN", "~", KEPT, "*", "action", text
        )
