"""Who did what: a stream in Redis, and a line in the log."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from flask import g, request

from resqued.errors import StoreError
from resqued.log import logger
from resqued.web.identity import current_user
from resqued.web.site import site

# About how many actions are kept.
KEPT = 10_000


def record(action: str, target: str, *, count: int = 1, result: str = "done") -> None:
    """Record an action of the present user.

    `action` is a verb, as in retry; `target` names what it acted on, `count` how many
    that were. That the stream cannot be written does not stop the action.
    """
    user = current_user()
    fields: dict[str, Any] = {
        "user": user.name if user else "",
        "role": user.role if user else "",
        "address": request.remote_addr or "",
        "action": action,
        "target": target[:500],
        "count": count,
        "result": result[:500],
        "request_id": g.request_id,
    }
    logger.get().info("web_action", **fields)
    if site().settings.read_only:
        return
    text = json.dumps(fields)
    with suppress(StoreError):
        site().client.registry.link.call(
            "XADD", site().keys.audit, "MAXLEN", "~", KEPT, "*", "action", text
        )
